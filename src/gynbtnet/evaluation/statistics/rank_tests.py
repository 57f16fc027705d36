"""Friedman's test over models, and Wilcoxon's signed-rank test for each pair.

Pairs are tested by Wilcoxon and not by mean ranks (Nemenyi). The difference of two mean ranks depends on the other
models in the comparison: adding a bad one can make two good ones differ. See Benavoli, Corani and Mangili
2016, J Mach Learn Res 17(5). Holm's adjustment controls the family-wise error rate over the pairs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats


@dataclass(frozen=True)
class FriedmanTest:
    """Result of Friedman's test.

    Attributes:
        statistic: χ² with k − 1 degrees of freedom.
        p: p-value.
        w: Kendall's W, 0 to 1, the agreement of the cases' rankings of the models.
    """

    statistic: float
    p: float
    w: float


@dataclass(frozen=True)
class WilcoxonTest:
    """Result of Wilcoxon's signed-rank test.

    Attributes:
        statistic: the smaller of the two sums of ranks.
        p: two-sided p-value.
    """

    statistic: float
    p: float


def friedman_test(values: npt.NDArray[np.float64]) -> FriedmanTest:
    """Test whether models differ in their ranks within cases.

    Args:
        values: (n cases, k models).

    Returns:
        The result; NaN for fewer than three models or two cases, or if all models are tied in every case.
    """
    n, k = values.shape
    if k < 3 or n < 2 or (values == values[:, :1]).all():
        return FriedmanTest(np.nan, np.nan, np.nan)
    result = stats.friedmanchisquare(*values.T)
    return FriedmanTest(float(result.statistic), float(result.pvalue), float(result.statistic) / (n * (k - 1)))


def wilcoxon_signed_rank(differences: npt.NDArray[np.float64]) -> WilcoxonTest:
    """Test whether n paired differences are symmetric around 0.

    Args:
        differences: (n,); differences of 0 are excluded (Wilcoxon's own rule).

    Returns:
        The result; p is 1 if all differences are 0, NaN if there are none.

    Example:
        >>> differences = np.array([0.02, 0.05, -0.01, 0.04, 0.03, 0.06])
        >>> wilcoxon_signed_rank(differences).p
        0.0625
    """
    if not len(differences):
        return WilcoxonTest(np.nan, np.nan)
    if not differences.any():
        return WilcoxonTest(0.0, 1.0)
    result = stats.wilcoxon(differences)
    return WilcoxonTest(float(result.statistic), float(result.pvalue))
