"""How well flags and predicted DSCs find the contours that are bad, on cases that nobody learned or calibrated on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """The area under the receiver operating characteristic, and between what it lies.

    Attributes:
        auroc: the probability that a bad one looks worse than a good one, ties counting half; NaN without both kinds.
        low, high: percentile bootstrap interval (95 %) over patients, each drawn with all cases; NaN with ``auroc``.
        bad: how many were bad.
        of: of how many.
        patients: whose they were.
    """

    auroc: float
    low: float
    high: float
    bad: int
    of: int
    patients: int


def found(
    suspicion: Sequence[float], dsc: Sequence[float], patients: Sequence[str], *, limit: float, seed: int = 0
) -> Found:
    """How well ``suspicion``, larger where something looks worse, finds a DSC below ``limit``; all (n,).

    Resamples of patients without both good and bad cases say nothing and are drawn again. Where 1,000 draws don't
    give 100 that do, the interval is NaN.
    """
    x, bad = np.asarray(suspicion, float), np.asarray(dsc, float) < limit
    whose = np.asarray(patients)
    low, high = clustered_interval(whose, lambda drawn: auroc(x[drawn], bad[drawn]), seed=seed)
    return Found(auroc(x, bad), low, high, int(bad.sum()), len(x), len(set(patients)))


def auroc(suspicion: Floats, bad: npt.NDArray[np.bool_]) -> float:
    """Mann and Whitney's U of the bad ones, divided by the number of pairs; NaN where there is none."""
    pairs = int(bad.sum()) * int((~bad).sum())
    if not pairs:
        return float("nan")
    return float(stats.mannwhitneyu(suspicion[bad], suspicion[~bad]).statistic) / pairs


def clustered_interval(
    whose: npt.NDArray[np.str_], figure: Callable[[npt.NDArray[np.intp]], float], *, seed: int
) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of ``figure`` of the cases (indices) of patients drawn with replacement."""
    random = np.random.default_rng(seed)
    cases_of = [np.flatnonzero(whose == patient) for patient in np.unique(whose)]
    figures = []
    for _ in range(1000):
        drawn = np.concatenate([cases_of[i] for i in random.integers(0, len(cases_of), len(cases_of))])
        if not np.isnan(value := figure(drawn)):
            figures.append(value)
    if len(figures) < 100:
        return float("nan"), float("nan")
    low, high = np.percentile(figures, (2.5, 97.5))
    return float(low), float(high)
