"""How large a difference between two models is, with intervals by patient.

Three figures, since none says all: the mean difference in the metric's unit; the same over the SD of the differences
(Cohen's d for pairs, d_z), to set beside other metrics; and in which share of the cases the model is the better one, in
which a single missed structure counts no more than any other case.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.evaluation.statistics.patient_bootstrap import interval, resampled_patients, sums_by_patient


@dataclass(frozen=True)
class Effect:
    """A figure and its interval; NaN where it isn't defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Effects:
    """Of one comparison.

    Attributes:
        difference: mean of model minus other, in the metric's unit.
        standardised: d_z, difference over the SD (n − 1) of the cases' differences.
        better: share of cases, 0 to 1, in which the model is better; a tie counts half.
    """

    difference: Effect
    standardised: Effect
    better: Effect


def effects(
    differences: npt.NDArray[np.float64],
    patients: Sequence[str],
    sign: int,
    *,
    resamples: int,
    seed: int,
    confidence: float = 0.95,
) -> list[Effects]:
    """Of (n, m) differences, model minus other, in m comparisons.

    Args:
        differences: n cases in m comparisons.
        patients: whose each case is, n.
        sign: 1 where a larger value is better, -1 where a smaller one is.
        resamples: how often patients are drawn.
        seed: of the draws.
        confidence: of the intervals.
    """
    n, m = differences.shape
    if not n:
        nothing = Effect(np.nan, np.nan, np.nan)
        return [Effects(nothing, nothing, nothing)] * m
    shift = differences.mean(axis=0)
    won = (1 + np.sign(sign * differences)) / 2
    per_case = np.stack([np.ones_like(differences), differences - shift, (differences - shift) ** 2, won], axis=-1)
    sums = sums_by_patient(per_case, patients)
    observed = _figures(sums.sum(axis=0), shift)
    drawn = resampled_patients(len(sums), resamples, seed)
    resampled = _figures((drawn @ sums.reshape(len(sums), -1)).reshape(resamples, m, 4), shift)
    low, high = interval(resampled, len(sums), confidence)
    ends = np.stack([observed, low, high], axis=-1)
    return [Effects(*(Effect(*map(float, figure)) for figure in of_pair)) for of_pair in ends]


def _figures(sums: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(…, m, 3) from (…, m, 4) sums over cases of 1, deviation from ``shift`` (m,), its square, and what was won."""
    count, deviations, squares, won = np.moveaxis(sums, -1, 0)
    mean = deviations / count
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (squares - count * mean**2) / (count - 1)
        spread = np.sqrt(np.where(variance > 1e-20 * (shift + mean) ** 2, variance, np.nan))
        standardised = (shift + mean) / spread
    return np.stack([shift + mean, standardised, won / count], axis=-1)
