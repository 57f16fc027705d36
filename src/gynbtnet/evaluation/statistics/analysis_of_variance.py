"""One-way analysis of variance over models, and Tukey's HSD: the paper's tests.

Both take every value as independent of every other, though all models saw the same cases and a patient has several.
Between models that find the same cases hard, that costs power; :mod:`gynbtnet.evaluation.statistics.permutation` and
:mod:`gynbtnet.evaluation.statistics.friedman` pair the cases.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats


@dataclass(frozen=True)
class AnalysisOfVariance:
    """F, its p-value, and η², the share of all variance that lies between models; NaN where no value varies."""

    statistic: float
    p: float
    eta_squared: float


@dataclass(frozen=True)
class TukeyPair:
    """Of two models: t with the SD pooled over all models, its own p-value, and Tukey's, which allows for all pairs."""

    statistic: float
    p: float
    p_adjusted: float


def analysis_of_variance(values: npt.NDArray[np.float64]) -> AnalysisOfVariance:
    """Of (n, k) values, with k − 1 and k·(n − 1) degrees of freedom."""
    n, within = len(values), _within(values)
    if n < 2 or within == 0:
        return AnalysisOfVariance(np.nan, np.nan, np.nan)
    found = stats.f_oneway(*values.T)
    between = n * float(((values.mean(axis=0) - values.mean()) ** 2).sum())
    return AnalysisOfVariance(float(found.statistic), float(found.pvalue), between / (between + within))


def tukey(values: npt.NDArray[np.float64]) -> dict[tuple[int, int], TukeyPair]:
    """Of (n, k) values every pair of columns i < j."""
    n, k = values.shape
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    within = _within(values)
    if n < 2 or within == 0:
        return dict.fromkeys(pairs, TukeyPair(np.nan, np.nan, np.nan))
    freedom = k * (n - 1)
    error = np.sqrt(within / freedom * 2 / n)
    adjusted, means = stats.tukey_hsd(*values.T).pvalue, values.mean(axis=0)
    found = {}
    for i, j in pairs:
        statistic = float((means[i] - means[j]) / error)
        found[i, j] = TukeyPair(statistic, float(2 * stats.t.sf(abs(statistic), freedom)), float(adjusted[i, j]))
    return found


def _within(values: npt.NDArray[np.float64]) -> float:
    """Sum of squares within models; 0 also where it is nothing but rounding."""
    squares = float(((values - values.mean(axis=0)) ** 2).sum()) if len(values) else 0.0
    return squares if squares > 1e-20 * float((values**2).sum()) else 0.0
