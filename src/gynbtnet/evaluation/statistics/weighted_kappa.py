"""Weighted kappa: agreement of two raters on an ordered scale, beyond chance.

Cohen 1968 (doi 10.1037/h0026256), with quadratic weights: a difference of two steps counts four times as much as one of
one step. For several raters it is the mean over their pairs (Light 1971, doi 10.1037/h0031643).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def weighted_kappa(first: Sequence[int], second: Sequence[int], categories: int) -> float:
    """Return Cohen's kappa with quadratic weights.

    Args:
        first: ratings of one rater, whole numbers from 1 to ``categories``.
        second: ratings of the other rater of the same objects, in the same order.
        categories: number of categories.

    Returns:
        1 for full agreement, 0 for chance. NaN without ratings, or if both raters gave one and the same rating to all
        objects, since chance then agrees fully too.

    Example:
        >>> weighted_kappa([1, 2, 3], [1, 2, 2], 3)
        0.6666666666666667
    """
    counts = np.zeros((categories, categories))
    np.add.at(counts, (np.asarray(first, int) - 1, np.asarray(second, int) - 1), 1)
    scale = np.arange(categories)
    weights = (scale[:, None] - scale[None, :]) ** 2
    total = counts.sum()
    expected = counts.sum(axis=1)[:, None] * counts.sum(axis=0)[None, :] / total if total else counts
    by_chance = float((weights * expected).sum())
    return 1 - float((weights * counts).sum()) / by_chance if by_chance else float("nan")


def mean_weighted_kappa(ratings: npt.NDArray[np.float64], categories: int) -> float:
    """Return the mean of the weighted kappas of all pairs of raters.

    Args:
        ratings: (n objects, k raters), from 1 to ``categories``; NaN if a rater did not rate an object. A pair of
            raters counts by the objects that both rated.
        categories: number of categories.

    Returns:
        The mean; NaN if it is undefined for every pair.
    """
    kappas = []
    for one in range(ratings.shape[1]):
        for other in range(one):
            both = ~np.isnan(ratings[:, [one, other]]).any(axis=1)
            first, second = (ratings[both, rater].astype(int).tolist() for rater in (one, other))
            kappas.append(weighted_kappa(first, second, categories))
    defined = [kappa for kappa in kappas if not np.isnan(kappa)]
    return float(np.mean(defined)) if defined else float("nan")
