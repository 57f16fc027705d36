"""EWMA control charts whose false-alarm rate over a year is set, for a baseline of few patients.

The exponentially weighted moving average detects small lasting changes (Lucas and Saccucci 1990, doi
10.1080/00401706.1990.10484583, whose tables suggest λ from 0.1 to 0.25 for them). A point is the mean normal score of
the patients of a period. Periods without patients have no point.

Points have weights w_i and n_i patients. The variance of their average is v·(Σ w_i²/n_i + (Σ w_i)²/m), in which v is
the variance of one score. The second term is the uncertainty of a baseline of m patients, which a chart with exactly
known parameters doesn't have; it widens the limits. The multiple L of the standard deviation is simulated: the largest
absolute value in a year without any change exceeds it with the given probability. Each simulated year has a new
baseline.

L is that of one patient per period. With more, the uncertainty of the baseline has a larger part, which all points
share. L would then be smaller: 2.9 instead of 3.2 for 8 per week and a baseline of 30. But the number of later patients
isn't known in advance, and a baseline that was reviewed in a few days doesn't predict it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from gynbtnet.monitoring.scores import Floats, score_variance

YEARS = 100_000
"""Number of simulated years."""
_CHUNK = 10_000
_SEED = 1990


@dataclass(frozen=True)
class Ewma:
    """Averages and limits.

    Attributes:
        averages: average after each point, (..., k).
        limits: limit of the absolute value of each average, (k,).
    """

    averages: Floats
    limits: Floats

    @property
    def alarms(self) -> np.ndarray:
        """Return whether each average is beyond its limit, (..., k)."""
        beyond: np.ndarray = np.abs(self.averages) > self.limits
        return beyond


def moving_average(points: Floats, counts: Floats, m: int, smoothing: float, multiple: float) -> Ewma:
    """Return the exponentially weighted moving average of points, from 0, with its limits.

    Args:
        points: mean score of the patients of each period, (..., k); each row is a chart.
        counts: number of these patients, (k,).
        m: number of patients of the baseline.
        smoothing: λ, the weight of the newest point.
        multiple: L, limit in standard deviations.

    Returns:
        The averages and limits.
    """
    averages, limits = np.empty(points.shape), np.empty(len(counts))
    average, noise = np.zeros(points.shape[:-1]), 0.0
    variance = score_variance(m)
    for number, count in enumerate(counts):
        average = smoothing * points[..., number] + (1 - smoothing) * average
        noise = smoothing**2 / count + (1 - smoothing) ** 2 * noise
        weight = 1 - (1 - smoothing) ** (number + 1)
        averages[..., number] = average
        limits[number] = multiple * np.sqrt(variance * (noise + weight**2 / m))
    return Ewma(averages, limits)


@lru_cache(maxsize=64)
def limit_multiple(m: int, periods: int, smoothing: float, rate: float) -> float:
    """Return the multiple L of the standard deviation that gives a false-alarm rate, by simulation.

    In each simulated year a baseline is drawn. The probabilities of the ranks of further values in it give mean and
    variance of their scores. The score of the one patient of a period is drawn from a normal distribution. This is
    wider than the possible scores, so that there are fewer false alarms.

    Args:
        m: number of patients of the baseline.
        periods: number of periods of a year.
        smoothing: λ.
        rate: probability that one chart raises an alarm in a year without a change.

    Returns:
        The multiple.
    """
    random = np.random.default_rng([_SEED, m, periods])
    scores = stats.norm.ppf((np.arange(m + 1) + 0.5) / (m + 1))
    variance = score_variance(m)
    highest = []
    for _ in range(YEARS // _CHUNK):
        shares = random.standard_exponential((_CHUNK, m + 1))
        shares /= shares.sum(axis=1, keepdims=True)
        mean = shares @ scores
        spread = np.sqrt(shares @ scores**2 - mean**2)
        average, worst = np.zeros(_CHUNK), np.zeros(_CHUNK)
        noise = 0.0
        for number in range(periods):
            point = mean + spread * random.standard_normal(_CHUNK)
            average = smoothing * point + (1 - smoothing) * average
            noise = smoothing**2 + (1 - smoothing) ** 2 * noise
            weight = 1 - (1 - smoothing) ** (number + 1)
            worst = np.maximum(worst, np.abs(average) / np.sqrt(variance * (noise + weight**2 / m)))
        highest.append(worst)
    return float(np.quantile(np.concatenate(highest), 1 - rate))
