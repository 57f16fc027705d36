"""AUROC of flags and predicted DSCs: discrimination of bad contours, on cases not used for training or calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from gynbtnet.evaluation.statistics.patient_bootstrap import patient_bootstrap
from gynbtnet.runtime.array_types import FloatArray

N_RESAMPLES = 1000
MIN_DEFINED = 100
"""Minimum number of resamples with both good and bad contours; an interval from fewer has no meaning."""


@dataclass(frozen=True)
class AurocInterval:
    """Area under the ROC curve (AUROC) of a measure that separates bad contours from good ones, with its interval.

    Attributes:
        auroc: probability that a bad contour looks worse than a good one, ties counting half; NaN unless there are
            both.
        low: lower end of the 95 % interval, from resampling patients with all their cases; NaN if undefined.
        high: upper end of the interval.
        n_bad: number of bad contours.
        n_contours: number of contours.
        n_patients: number of patients.
    """

    auroc: float
    low: float
    high: float
    n_bad: int
    n_contours: int
    n_patients: int


def auroc_with_interval(
    suspicion: Sequence[float], dsc: Sequence[float], patients: Sequence[str], *, limit: float, seed: int = 0
) -> AurocInterval:
    """Measure how well ``suspicion`` identifies the contours with a DSC below ``limit``.

    Args:
        suspicion: (n,), larger if a contour looks worse.
        dsc: (n,), true DSC.
        patients: (n,), patient of each contour.
        limit: DSC below which a contour is bad.
        seed: seed of the resamples.

    Returns:
        The AUROC with its 95 % interval.
    """
    x, bad = np.asarray(suspicion, float), np.asarray(dsc, float) < limit
    low, high = patient_bootstrap(
        np.asarray(patients),
        lambda cases: auroc(x[cases], bad[cases]),
        n_resamples=N_RESAMPLES,
        min_defined=MIN_DEFINED,
        seed=seed,
    )
    return AurocInterval(auroc(x, bad), low, high, int(bad.sum()), len(x), len(set(patients)))


def auroc(suspicion: FloatArray, bad: npt.NDArray[np.bool_]) -> float:
    """Return Mann and Whitney's U of the bad contours, divided by the number of pairs; NaN if there are no pairs."""
    n_pairs = int(bad.sum()) * int((~bad).sum())
    if not n_pairs:
        return float("nan")
    return float(stats.mannwhitneyu(suspicion[bad], suspicion[~bad]).statistic) / n_pairs
