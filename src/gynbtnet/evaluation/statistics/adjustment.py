"""p-values of a family, adjusted for how many they are. What isn't defined (NaN) is no member of the family."""

import numpy as np
import numpy.typing as npt
from scipy import stats


def benjamini_hochberg(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Of those below x after this, the expected share of false ones is at most x (Benjamini and Hochberg 1995)."""
    adjusted = np.array(p, float)
    defined = ~np.isnan(adjusted)
    if defined.any():
        adjusted[defined] = stats.false_discovery_control(adjusted[defined])
    return adjusted


def holm(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The probability that any is below x by chance is, after this, at most x (Holm 1979).

    The smallest of m is multiplied by m, the next by m − 1 and so on; none falls below the one before it.
    """
    adjusted = np.array(p, float)
    order = np.argsort(adjusted)[: np.count_nonzero(~np.isnan(adjusted))]  # NaN is sorted last
    stepped = np.maximum.accumulate(adjusted[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
