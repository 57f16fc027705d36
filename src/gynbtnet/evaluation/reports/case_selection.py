"""Selection of the cases that a page shows: best, median and worst by DSC, so that nobody picks them by hand."""

from collections.abc import Mapping, Sequence

import numpy as np

from gynbtnet.evaluation.metrics.metrics import NOT_SCORED, Score

Rank = str
"""best, median or worst."""
RANKING_RULE = "mean DSC over structures{models}; a missed or false structure counts as 0"


def best_median_worst(scores: Sequence[Score]) -> tuple[tuple[Rank, str], ...]:
    """Return ("best", case), ("median", case) and ("worst", case) by :func:`mean_dsc` of one model's scores.

    Args:
        scores: scores of one model, one per case and structure.

    Returns:
        Rank and case id of each selected case.
    """
    return rank_cases(mean_dsc([scores]))


def rank_cases(values: Mapping[str, float]) -> tuple[tuple[Rank, str], ...]:
    """Return the best, the median and the worst case.

    Two cases give the best and the worst, one case gives the best. With an even number of cases the median is the
    lower of the middle two. Cases with equal values keep their order.

    Args:
        values: one value per case id; higher is better.
    """
    order = sorted(values, key=lambda case: -values[case])
    positions = {"best": 0, "median": len(order) // 2, "worst": len(order) - 1}
    ranks = ("best", "median", "worst") if len(order) > 2 else ("best", "worst")[: len(order)]
    return tuple((rank, order[positions[rank]]) for rank in ranks)


def mean_dsc(models: Sequence[Sequence[Score]], structure: str | None = None) -> dict[str, float]:
    """Return the mean DSC of each case, in the order of the scores.

    A missed or false structure counts as 0, even if it wasn't scored. Absent and unknown structures don't count.

    Args:
        models: the scores of each model; the mean is over models and structures.
        structure: the only structure to use; None: all.
    """
    values: dict[str, list[float]] = {}
    for scores in models:
        for score in scores:
            if score.missing_in not in NOT_SCORED and structure in (None, score.structure):
                values.setdefault(score.case, []).append(score.dsc if score.missing_in == "none" else 0.0)
    return {case: float(np.mean(dsc)) for case, dsc in values.items()}
