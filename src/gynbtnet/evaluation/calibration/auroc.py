"""How well flags and predicted DSCs find the contours that are bad, on cases that nobody learned or calibrated on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from gynbtnet.evaluation.statistics.patient_bootstrap import interval, resampled_patients
from gynbtnet.runtime.array_types import FloatArray

RESAMPLES = 1000
LEAST_DEFINED = 100
"""Resamples that hold both good and bad contours; the interval of fewer says nothing."""


@dataclass(frozen=True)
class AurocInterval:
    """How well a figure tells bad contours from good ones: the area under the ROC curve, with its interval.

    Attributes:
        auroc: the probability that a bad contour looks worse than a good one, ties counting half; NaN unless there are
            both.
        low: lower end of the 95 % interval, from resampling patients with all their cases; NaN if it isn't defined.
        high: its upper end.
        bad: number of bad contours.
        of: number of contours.
        patients: number of patients.
    """

    auroc: float
    low: float
    high: float
    bad: int
    of: int
    patients: int


def auroc_with_interval(
    suspicion: Sequence[float], dsc: Sequence[float], patients: Sequence[str], *, limit: float, seed: int = 0
) -> AurocInterval:
    """How well ``suspicion`` finds the contours with a DSC below ``limit``.

    Args:
        suspicion: (n,), larger if a contour looks worse.
        dsc: (n,), true DSC.
        patients: (n,), the patient of each contour.
        limit: DSC below which a contour is bad.
        seed: seed of the resamples.
    """
    x, bad = np.asarray(suspicion, float), np.asarray(dsc, float) < limit
    whose = np.asarray(patients)
    low, high = clustered_interval(whose, lambda drawn: auroc(x[drawn], bad[drawn]), seed=seed)
    return AurocInterval(auroc(x, bad), low, high, int(bad.sum()), len(x), len(set(patients)))


def auroc(suspicion: FloatArray, bad: npt.NDArray[np.bool_]) -> float:
    """Mann and Whitney's U of the bad ones, divided by the number of pairs; NaN where there is none."""
    pairs = int(bad.sum()) * int((~bad).sum())
    if not pairs:
        return float("nan")
    return float(stats.mannwhitneyu(suspicion[bad], suspicion[~bad]).statistic) / pairs


def clustered_interval(
    whose: npt.NDArray[np.str_], figure: Callable[[npt.NDArray[np.intp]], float], *, seed: int
) -> tuple[float, float]:
    """The 95 % interval of ``figure``, from resampling patients, expanded as :func:`interval` says.

    Args:
        whose: (n,), the patient of each case.
        figure: returns the figure of some cases, given their indices; NaN if they don't define it.
        seed: seed of the resamples.

    Returns:
        Lower and upper end. NaN for fewer than two patients, or if fewer than 100 of 1,000 resamples define the figure.
    """
    names, places = np.unique(whose, return_inverse=True)
    cases_of = [np.flatnonzero(places == patient) for patient in range(len(names))]
    figures = np.array(
        [
            figure(np.concatenate([np.tile(cases, int(n)) for cases, n in zip(cases_of, times, strict=True) if n]))
            for times in resampled_patients(len(names), RESAMPLES, seed)
        ]
    )
    if np.count_nonzero(~np.isnan(figures)) < LEAST_DEFINED:
        return float("nan"), float("nan")
    low, high = interval(figures, len(names), 0.95)
    return float(low), float(high)
