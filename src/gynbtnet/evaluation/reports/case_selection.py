"""Which cases a page shows: the best, the median and the worst by their DSC, so that nobody picks them by hand."""

from collections.abc import Mapping, Sequence

import numpy as np

from gynbtnet.evaluation.metrics.metrics import Score

Rank = str
"""best, median or worst."""
CHOICE = "the mean DSC over structures{models}, a missed or false structure counting as 0"


def best_median_worst(scores: Sequence[Score]) -> tuple[tuple[Rank, str], ...]:
    """("best", case), ("median", case) and ("worst", case) by :func:`mean_dsc` of one model's scores."""
    return rank_cases(mean_dsc([scores]))


def rank_cases(figures: Mapping[str, float]) -> tuple[tuple[Rank, str], ...]:
    """The best, the median and the worst case by a figure that is better when higher.

    Two cases are the best and the worst, one is the best. The median of an even number is the lower one; equal figures
    stay in the cases' order.
    """
    order = sorted(figures, key=lambda case: -figures[case])
    places = {"best": 0, "median": len(order) // 2, "worst": len(order) - 1}
    wanted = ("best", "median", "worst") if len(order) > 2 else ("best", "worst")[: len(order)]
    return tuple((rank, order[places[rank]]) for rank in wanted)


def mean_dsc(models: Sequence[Sequence[Score]], structure: str | None = None) -> dict[str, float]:
    """By case, in their order, the mean DSC over models and structures, or over models of one structure.

    A missed or false structure counts as 0, whatever the policy; absent and unknown ones don't count.
    """
    figures: dict[str, list[float]] = {}
    for scores in models:
        for score in scores:
            if score.missing_in not in ("both", "unknown") and structure in (None, score.structure):
                figures.setdefault(score.case, []).append(score.dsc if score.missing_in == "none" else 0.0)
    return {case: float(np.mean(values)) for case, values in figures.items()}
