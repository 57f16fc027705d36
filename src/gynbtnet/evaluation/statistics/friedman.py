"""Friedman's test over models, and after it each pair by Wilcoxon's signed ranks.

The pairs are tested by Wilcoxon and not by mean ranks (Nemenyi), because a difference of mean ranks between two models
depends on which other models stand beside them: adding a bad one can make two good ones differ (Benavoli, Corani and
Mangili 2016, J Mach Learn Res 17(5)). Holm's adjustment holds the family-wise error over the pairs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats


@dataclass(frozen=True)
class Friedman:
    """χ² with k − 1 degrees of freedom, its p-value, and Kendall's W, 0 to 1: how alike the cases rank the models."""

    statistic: float
    p: float
    w: float


@dataclass(frozen=True)
class SignedRanks:
    """Wilcoxon's statistic, the smaller of the two sums of ranks, and its two-sided p-value."""

    statistic: float
    p: float


def friedman(values: npt.NDArray[np.float64]) -> Friedman:
    """Of (n, k) values; NaN for fewer than three models or two cases, and where every case ranks all models alike."""
    n, k = values.shape
    if k < 3 or n < 2 or (values == values[:, :1]).all():
        return Friedman(np.nan, np.nan, np.nan)
    found = stats.friedmanchisquare(*values.T)
    return Friedman(float(found.statistic), float(found.pvalue), float(found.statistic) / (n * (k - 1)))


def signed_ranks(differences: npt.NDArray[np.float64]) -> SignedRanks:
    """Of n differences; those that are 0 are left out (Wilcoxon's own rule), and p is 1 where all are."""
    if not len(differences):
        return SignedRanks(np.nan, np.nan)
    if not differences.any():
        return SignedRanks(0.0, 1.0)
    found = stats.wilcoxon(differences)
    return SignedRanks(float(found.statistic), float(found.pvalue))
