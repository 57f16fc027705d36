"""p-values of a family, adjusted for how many they are. What isn't defined (NaN) is no member of the family."""

from typing import Literal

import numpy as np
import numpy.typing as npt


def benjamini_hochberg(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Of those below x after this, the expected share of false ones is at most x (Benjamini and Hochberg 1995)."""
    return _adjusted(p, "fdr_bh")


def holm(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The probability that any is below x by chance is, after this, at most x (Holm 1979)."""
    return _adjusted(p, "holm")


def _adjusted(p: npt.ArrayLike, method: Literal["fdr_bh", "holm"]) -> npt.NDArray[np.float64]:
    from statsmodels.stats.multitest import multipletests  # takes a second to import

    adjusted = np.array(p, float)
    defined = ~np.isnan(adjusted)
    if defined.any():
        adjusted[defined] = multipletests(adjusted[defined], method=method)[1]
    return adjusted
