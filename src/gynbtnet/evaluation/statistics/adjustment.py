"""Adjustment of p-values for multiple comparisons. An undefined value (NaN) is not part of the family."""

import numpy as np
import numpy.typing as npt
from scipy import stats


def benjamini_hochberg(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjust p-values by Benjamini and Hochberg (1995), which controls the false discovery rate.

    Among the comparisons with an adjusted p below x, the expected share of false ones is at most x.

    Args:
        p: p-values of the family; NaN if undefined.

    Returns:
        Adjusted p-values; NaN stays NaN.
    """
    adjusted = np.array(p, float)
    defined = ~np.isnan(adjusted)
    if defined.any():
        adjusted[defined] = stats.false_discovery_control(adjusted[defined])
    return adjusted


def holm(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjust p-values by Holm (1979), which controls the family-wise error rate.

    The probability that any adjusted p is below x by chance is at most x. The smallest of m p-values is multiplied by
    m, the next by m − 1 and so on; none becomes smaller than the one before it.

    Args:
        p: p-values of the family; NaN if undefined.

    Returns:
        Adjusted p-values; NaN stays NaN.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    adjusted = np.array(p, float)
    order = np.argsort(adjusted)[: np.count_nonzero(~np.isnan(adjusted))]  # NaN is sorted last
    stepped = np.maximum.accumulate(adjusted[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
