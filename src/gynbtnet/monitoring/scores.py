"""Normal scores of patients: the rank of a value in the baseline, as a quantile of the normal distribution.

A control chart of the values themselves needs normal values, and added path lengths or volumes are skewed. Ranks in the
baseline have the same distribution for any continuous values, so that the false-alarm rate doesn't depend on theirs.
Equal values get the middle of their ranks, which makes the scores smaller and alarms rarer.

Reviews of one patient are similar, patients are independent. The mean of a patient's reviews is therefore ranked among
the means of the baseline's patients. Their spread contains the similarity, which need not be known.
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


def patient_scores(baseline: Floats, later: Floats, is_over: npt.NDArray[np.bool_]) -> Floats:
    """Return the normal scores of patients, of whom some are still in the course of their treatment.

    A patient in the course with j reviews is compared with the first j reviews of each patient of the baseline. If
    these are fewer than usual (the median of the baseline), the score is multiplied by j / usual. The mean of a few
    reviews is less certain than that of a course, and would raise alarms that vanish as the course continues.

    Args:
        baseline: values of the reviews of each patient in order, NaN after the last, (m, most reviews).
        later: those of later patients so far, (n, most reviews).
        is_over: whether the course of each later patient is over, (n,).

    Returns:
        The scores, (n,).
    """
    scores = normal_scores(np.nanmean(baseline, axis=1), np.nanmean(later, axis=1))
    usual = float(np.median(np.isfinite(baseline).sum(axis=1)))
    reviews = np.isfinite(later).sum(axis=1)
    for number in np.unique(reviews[~is_over]):
        same = ~is_over & (reviews == number)
        before, means = np.nanmean(baseline[:, :number], axis=1), np.nanmean(later[same], axis=1)
        scores[same] = normal_scores(before, means) * min(number / usual, 1)
    return scores


def score_variance(m: int) -> float:
    """Return the variance of the score of a further value of the same continuous distribution.

    Args:
        m: number of values of the baseline.
    """
    possible = stats.norm.ppf((np.arange(m + 1) + 0.5) / (m + 1))
    return float((possible**2).mean())
