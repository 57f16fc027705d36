"""Choice of the cases to contour next: those from which a model probably learns most, and one at random.

Four signs are ranked among the candidates, and the mean rank decides. Three are a low end of the predicted DSC, a low
agreement of the forward passes, and structures with a flag. The fourth is a large distance from the training scans. A
sign that no candidate has is omitted. The random case shows what the signs miss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted, enumeration


@dataclass(frozen=True)
class Candidate:
    """A prediction without a review.

    Attributes:
        name: its path below the folder of predictions.
        scan: SHA-256 of the scan's files.
        model: SHA-256 of the weights that predicted it.
        lowest_dsc: lowest end of the predicted DSC; None if none is predicted.
        lowest_agreement: lowest agreement of the forward passes on a structure; None if it is unknown.
        structures_flagged: number of structures with a flag, or without a voxel.
        distance: distance from the training, see :func:`~gynbtnet.learning.scan_measures.distance_from`; None if it is
            unknown.
    """

    name: str
    scan: str
    model: str
    lowest_dsc: float | None
    lowest_agreement: float | None
    structures_flagged: int
    distance: float | None


@dataclass(frozen=True)
class ChosenCase:
    """A case to contour next.

    Attributes:
        candidate: the prediction.
        reason: why it was chosen, in a few words.
    """

    candidate: Candidate
    reason: str


@dataclass(frozen=True)
class _Sign:
    """A sign that a case is worth contouring: a value that is larger for such cases, and its words."""

    value: Callable[[Candidate], float | None]
    words: Callable[[Candidate], str]


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


_SIGNS = (
    _Sign(lambda case: _negative(case.lowest_dsc), lambda case: f"predicted DSC from {case.lowest_dsc:.2f}"),
    _Sign(lambda case: _negative(case.lowest_agreement), lambda case: f"agreement {case.lowest_agreement:.2f}"),
    _Sign(
        lambda case: float(case.structures_flagged),
        lambda case: f"{counted(case.structures_flagged, 'structure')} flagged",
    ),
    _Sign(lambda case: case.distance, lambda case: f"{case.distance:.1f} SD from the training"),
)


def choose_cases(candidates: Sequence[Candidate], number: int, seed: int = 0) -> tuple[ChosenCase, ...]:
    """Choose cases to contour next.

    Args:
        candidates: predictions without a review.
        number: number of cases, at least 2: all but one by their signs, one at random from the others.
        seed: seed of the random choice; the same candidates and seed give the same case.

    Returns:
        The cases, the most useful first and the random one last. All candidates if there are no more than ``number``.

    Raises:
        BadInput: If ``number`` is less than 2.
    """
    if number < 2:
        raise BadInput(f"{number} case can't be chosen; expected at least 2, since one of them is chosen at random.")
    candidates = sorted(candidates, key=lambda case: case.scan)
    ranks = [_ranks(candidates, sign) for sign in _SIGNS]
    known = [rank for rank in ranks if rank is not None]
    scores = np.mean(known, axis=0) if known else np.zeros(len(candidates))
    order = sorted(range(len(candidates)), key=lambda i: (-scores[i], candidates[i].scan))
    chosen = [ChosenCase(candidates[i], _reason(i, candidates[i], ranks)) for i in order[: number - 1]]
    others = order[number - 1 :]
    if others:
        drawn = candidates[sorted(others)[int(np.random.default_rng(seed).integers(len(others)))]]
        chosen.append(ChosenCase(drawn, "at random"))
    return tuple(chosen)


def _ranks(candidates: Sequence[Candidate], sign: _Sign) -> np.ndarray | None:
    """Return the rank of each candidate from 0 to 1; None if the sign doesn't distinguish any."""
    values = np.array([np.nan if (value := sign.value(case)) is None else value for case in candidates], float)
    if np.isnan(values).all() or len(np.unique(values[~np.isnan(values)])) < 2:
        return None
    ranks = (rankdata(values, nan_policy="omit") - 1) / (np.count_nonzero(~np.isnan(values)) - 1)
    return np.where(np.isnan(values), 0.5, ranks)


def _reason(i: int, case: Candidate, ranks: Sequence[np.ndarray | None]) -> str:
    """Return the signs in which a case is in the upper half, the strongest first."""
    strong = [(-rank[i], sign.words(case)) for rank, sign in zip(ranks, _SIGNS, strict=True) if rank is not None]
    words = [text for rank, text in sorted(strong) if rank < -0.5]
    return enumeration(words) or "the mean of all signs"
