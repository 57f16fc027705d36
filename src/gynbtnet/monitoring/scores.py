"""Normal scores: the rank of a value in the baseline, as a quantile of the normal distribution.

A control chart of the values themselves needs normal values, and added path lengths or volumes are skewed. Ranks in the
baseline have the same distribution for any continuous values, so that the false-alarm rate doesn't depend on theirs.
Equal values get the middle of their ranks, which makes the scores smaller and alarms rarer.
"""

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]


def normal_scores(baseline: Floats, values: Floats) -> Floats:
    """Return the normal scores of values in a baseline.

    Args:
        baseline: m values.
        values: n values.

    Returns:
        Φ⁻¹((r + ½) / (m + 1)), n; r is the number of baseline values below the value, plus half of those equal to it.

    Example:
        >>> normal_scores(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 9.0])).round(2).tolist()
        [-1.15, 0.0, 1.15]
    """
    ordered = np.sort(baseline)
    below = np.searchsorted(ordered, values, side="left")
    not_above = np.searchsorted(ordered, values, side="right")
    scores: Floats = stats.norm.ppf(((below + not_above) / 2 + 0.5) / (len(ordered) + 1))
    return scores


def score_variance(m: int) -> float:
    """Return the variance of the score of a further value of the same continuous distribution.

    Args:
        m: number of values of the baseline.
    """
    possible = stats.norm.ppf((np.arange(m + 1) + 0.5) / (m + 1))
    return float((possible**2).mean())
