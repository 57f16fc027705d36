"""Size of the difference between two models, with confidence intervals in which the patient is the unit.

Three effect sizes complement each other. The mean difference is in the metric's unit. Cohen's d for pairs, d_z, is the
same divided by the SD of the differences and is comparable between metrics. The share of cases in which the model is
better counts a single missed structure no more than any other case.

Intervals are t intervals of the patient jackknife; that of the share is computed for its log odds. An interval is given
only for the numbers of patients with which it contains the true value in 93 to 97 % of simulated cohorts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from gynbtnet.evaluation.statistics.patient_jackknife import PatientEstimate, patient_jackknife, patient_mean

STANDARDISED_PATIENTS = 3
"""Smallest number of patients with an interval of d_z."""
SHARE_PATIENTS = 20
"""Smallest number of patients with an interval of a share: with fewer, its few possible values make it too wide."""


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
    differences: npt.NDArray[np.float64], patients: Sequence[str], sign: int, *, confidence: float = 0.95
) -> list[EffectSizes]:
    """Compute the effect sizes of m comparisons.

    Args:
        differences: model minus other, (n cases, m comparisons).
        patients: patient of each case, n.
        sign: 1 if a larger value is better, -1 if a smaller value is better.
        confidence: confidence level of the intervals.

    Returns:
        One result per comparison; NaN if there are no cases. An interval is NaN if the number of patients is too small
        for its method: 2 for the difference, 3 for d_z, :data:`SHARE_PATIENTS` for the share.
    """
    n, m = differences.shape
    if not n:
        undefined = Estimate(np.nan, np.nan, np.nan)
        return [EffectSizes(undefined, undefined, undefined)] * m
    shift = differences.mean(axis=0)
    won = (1 + np.sign(sign * differences)) / 2
    deviations = differences - shift
    per_case = np.stack([np.ones_like(differences), deviations, deviations**2, won], axis=-1)
    d_z = patient_jackknife(per_case[..., :3], patients, lambda sums: _standardised(sums, shift))
    share = patient_mean(won, patients)
    intervals = (
        patient_mean(differences, patients).interval(confidence),
        d_z.interval(confidence) if d_z.n_patients >= STANDARDISED_PATIENTS else _no_interval(m),
        _share_interval(share, confidence) if share.n_patients >= SHARE_PATIENTS else _no_interval(m),
    )
    values = (shift, d_z.value, share.value)
    estimates = np.array([(value, *ends) for value, ends in zip(values, intervals, strict=True)])
    return [EffectSizes(*(Estimate(*map(float, row)) for row in estimates[..., i])) for i in range(m)]


def _standardised(sums: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return d_z, (…, m), from sums (…, m, 3) over cases of 1, of the deviation from ``shift``, and of its square."""
    count, deviations, squares = np.moveaxis(sums, -1, 0)
    mean = deviations / count
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (squares - count * mean**2) / (count - 1)
        sd = np.sqrt(np.where(variance > 1e-20 * (shift + mean) ** 2, variance, np.nan))
    standardised: npt.NDArray[np.float64] = (shift + mean) / sd
    return standardised


def _share_interval(
    share: PatientEstimate, confidence: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the t interval of log odds; for a share of 0 or 1 the Clopper–Pearson interval of the patients."""
    value, tail = share.value, (1 - confidence) / 2
    inside = (value > 0) & (value < 1)
    odds = np.where(inside, value, 0.5)
    t = stats.t.ppf(1 - tail, share.degrees_of_freedom)
    reach = t * share.standard_error / (odds * (1 - odds))
    end = tail ** (1 / share.n_patients)
    low = np.where(inside, special.expit(special.logit(odds) - reach), np.where(value >= 1, end, 0.0))
    high = np.where(inside, special.expit(special.logit(odds) + reach), np.where(value >= 1, 1.0, 1 - end))
    return low, high


def _no_interval(m: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return np.full(m, np.nan), np.full(m, np.nan)
