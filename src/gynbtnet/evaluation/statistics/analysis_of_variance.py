"""One-way analysis of variance over models, and Tukey's HSD: the tests of the paper.

Both treat every value as independent, although all models are evaluated on the same cases and a patient has several
cases. This costs power if the same cases are difficult for all models.
:mod:`gynbtnet.evaluation.statistics.permutation` and :mod:`gynbtnet.evaluation.statistics.rank_tests` pair the cases.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats


@dataclass(frozen=True)
class AnovaResult:
    """Result of a one-way analysis of variance; NaN if the values do not vary.

    Attributes:
        statistic: F.
        p: p-value.
        eta_squared: η², the share of the total variance that is between models.
    """

    statistic: float
    p: float
    eta_squared: float


@dataclass(frozen=True)
class TukeyPair:
    """Comparison of two models by Tukey's HSD.

    Attributes:
        statistic: t with the SD pooled over all models.
        p: p-value of this t alone.
        p_adjusted: Tukey's p-value, adjusted for all pairs.
    """

    statistic: float
    p: float
    p_adjusted: float


def one_way_anova(values: npt.NDArray[np.float64]) -> AnovaResult:
    """Test whether the means of k models differ, with k − 1 and k·(n − 1) degrees of freedom.

    Args:
        values: (n cases, k models).

    Returns:
        F, p and η²; NaN if there are fewer than two cases or the values do not vary.
    """
    n, within = len(values), _squares_within(values)
    if n < 2 or within == 0:
        return AnovaResult(np.nan, np.nan, np.nan)
    result = stats.f_oneway(*values.T)
    between = n * float(((values.mean(axis=0) - values.mean()) ** 2).sum())
    return AnovaResult(float(result.statistic), float(result.pvalue), between / (between + within))


def tukey_hsd(values: npt.NDArray[np.float64]) -> dict[tuple[int, int], TukeyPair]:
    """Compare every pair of models by Tukey's honestly significant difference.

    Args:
        values: (n cases, k models).

    Returns:
        Results by pair of columns i < j.
    """
    n, k = values.shape
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    within = _squares_within(values)
    if n < 2 or within == 0:
        return dict.fromkeys(pairs, TukeyPair(np.nan, np.nan, np.nan))
    degrees_of_freedom = k * (n - 1)
    error = np.sqrt(within / degrees_of_freedom * 2 / n)
    adjusted, means = stats.tukey_hsd(*values.T).pvalue, values.mean(axis=0)
    results = {}
    for i, j in pairs:
        t = float((means[i] - means[j]) / error)
        results[i, j] = TukeyPair(t, float(2 * stats.t.sf(abs(t), degrees_of_freedom)), float(adjusted[i, j]))
    return results


def _squares_within(values: npt.NDArray[np.float64]) -> float:
    """Return the sum of squares within models; 0 if it is only rounding."""
    squares = float(((values - values.mean(axis=0)) ** 2).sum()) if len(values) else 0.0
    return squares if squares > 1e-20 * float((values**2).sum()) else 0.0
