"""Size of the difference between two models, with confidence intervals from resampled patients.

Three effect sizes complement each other. The mean difference is in the metric's unit. Cohen's d for pairs, d_z, is the
same divided by the SD of the differences and is comparable between metrics. The share of cases in which the model is
better counts a single missed structure no more than any other case.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.evaluation.statistics.patient_bootstrap import bootstrap_interval, resample_patients, sum_by_patient


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval; NaN if undefined.

    Attributes:
        value: estimated value.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class EffectSizes:
    """Effect sizes of one comparison.

    Attributes:
        difference: mean of model minus other, in the metric's unit.
        standardised: d_z, the difference divided by the SD (n − 1) of the cases' differences.
        better: share of cases, 0 to 1, in which the model is better; a tie counts half.
    """

    difference: Estimate
    standardised: Estimate
    better: Estimate


def effect_sizes(
    differences: npt.NDArray[np.float64],
    patients: Sequence[str],
    sign: int,
    *,
    n_resamples: int,
    seed: int,
    confidence: float = 0.95,
) -> list[EffectSizes]:
    """Compute the effect sizes of m comparisons.

    Args:
        differences: model minus other, (n cases, m comparisons).
        patients: patient of each case, n.
        sign: 1 if a larger value is better, -1 if a smaller value is better.
        n_resamples: number of resamples of the patients.
        seed: seed of the resamples.
        confidence: confidence level of the intervals.

    Returns:
        One result per comparison; NaN if there are no cases.
    """
    n, m = differences.shape
    if not n:
        undefined = Estimate(np.nan, np.nan, np.nan)
        return [EffectSizes(undefined, undefined, undefined)] * m
    shift = differences.mean(axis=0)
    won = (1 + np.sign(sign * differences)) / 2
    per_case = np.stack([np.ones_like(differences), differences - shift, (differences - shift) ** 2, won], axis=-1)
    sums = sum_by_patient(per_case, patients)
    observed = _effects_from_sums(sums.sum(axis=0), shift)
    counts = resample_patients(len(sums), n_resamples, seed)
    resampled = _effects_from_sums((counts @ sums.reshape(len(sums), -1)).reshape(n_resamples, m, 4), shift)
    low, high = bootstrap_interval(resampled, len(sums), confidence)
    estimates = np.stack([observed, low, high], axis=-1)
    return [EffectSizes(*(Estimate(*map(float, ends)) for ends in comparison)) for comparison in estimates]


def _effects_from_sums(sums: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the three effect sizes, (…, m, 3).

    ``sums`` (…, m, 4) are sums over cases of 1, of the deviation from ``shift`` (m,), of its square, and of wins.
    """
    count, deviations, squares, won = np.moveaxis(sums, -1, 0)
    mean = deviations / count
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (squares - count * mean**2) / (count - 1)
        sd = np.sqrt(np.where(variance > 1e-20 * (shift + mean) ** 2, variance, np.nan))
        standardised = (shift + mean) / sd
    return np.stack([shift + mean, standardised, won / count], axis=-1)
