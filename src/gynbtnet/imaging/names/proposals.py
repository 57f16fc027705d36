"""Proposals for names that belong to no structure for sure: the structures whose names are most similar."""

from collections.abc import Mapping
from difflib import SequenceMatcher

from gynbtnet.imaging.names.name_cores import NameCore, is_without_operators
from gynbtnet.imaging.names.spelling import comparison_key, plain_letters, split_words
from gynbtnet.imaging.names.surrounding_words import ANYWHERE, HELPERS, LEFT, RIGHT

_SIMILAR = 0.8
_AS_SIMILAR = 0.05
_SHORTEST = 4


def propose_structures(name: str, cores: Mapping[NameCore, str]) -> tuple[str, ...]:
    """Return the structures whose names are similar to a name, the most similar first; none if none is.

    Two names are similar if :class:`difflib.SequenceMatcher` gives their comparison keys a ratio of at least 0.8, or if
    the name contains the other. Names of different sides are not similar.
    A name with an operator, or with a word for a helper, a part or a margin, such as “Bladder_PRV”, has no proposal.

    Args:
        name: name of a ROI that :class:`~gynbtnet.imaging.structure_names.StructureNames` doesn't resolve.
        cores: structure by core of its names.

    Returns:
        One structure if the proposal is clear, several if the name could mean any of them.
    """
    words = [plain_letters(word) for word in split_words(name, at_capitals=True)]
    sides = {"left" if word in LEFT else "right" for word in words if word in LEFT | RIGHT}
    kept = tuple(word for word in words if word not in ANYWHERE | LEFT | RIGHT and not word.isdigit())
    key = comparison_key(kept)
    if len(key) < _SHORTEST or HELPERS.intersection(words) or not is_without_operators(name):
        return ()
    best: dict[str, float] = {}
    for core, structure in cores.items():
        if not core.side or sides <= {core.side}:
            best[structure] = max(best.get(structure, 0.0), _similarity(key, core.key))
    highest = max(best.values(), default=0.0)
    near = [structure for structure, ratio in best.items() if ratio >= max(_SIMILAR, highest - _AS_SIMILAR)]
    return tuple(sorted(near, key=lambda structure: -best[structure]))


def _similarity(key: str, other: str) -> float:
    if len(other) >= _SHORTEST and other in key:
        return _SIMILAR + 0.2 * len(other) / len(key)
    matcher = SequenceMatcher(None, key, other, autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= _SIMILAR else 0.0
