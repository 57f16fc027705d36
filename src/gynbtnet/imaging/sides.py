"""Left and right in the names of structures: which label a structure has in a mirror image."""

import re
from collections.abc import Sequence

_PAIRS = (("left", "right"), ("l", "r"), ("lt", "rt"), ("links", "rechts"), ("li", "re"), ("sin", "dex"))
_OTHER = {word: other for pair in _PAIRS for word, other in (pair, pair[::-1])}
# A word between separators, as in kidney_left, Kidney_L and rib_left4, or the end of a longer word, as in KidneyLeft.
_SIDE = re.compile(
    rf"(?<![^\W_])(?i:{'|'.join(_OTHER)})(?![^\W_])"
    r"|(?<![^\W\d_])(?i:left|right|links|rechts)(?![^\W\d_])"
    r"|(?<=[a-z])(?:Left|Right|Links|Rechts)(?![a-z])"
    r"|(?<=[a-z]{3})(?:left|right)(?![a-z])"
)


def other_side(structure: str) -> str | None:
    """Name the structure on the other side of the patient; None if the name has no side.

    The side is a word of the name: ``hip_left``, ``rib_left_4``, ``lung_upper_lobe_right``, ``Femur_Head_L``,
    ``KidneyRight``. The case of its letters is kept.
    """
    found = _swapped(structure)
    return None if found == structure else found


def mirrored_labels(structures: Sequence[str]) -> tuple[int, ...]:
    """Give the label of each label's structure in an image mirrored left to right.

    Args:
        structures: label i + 1 is structures[i].

    Returns:
        One label for each label from 0 on. Structures without a side, or whose other side isn't among ``structures``,
        keep their label.
    """
    labels = {name.casefold(): label for label, name in enumerate(structures, start=1)}
    others = (other_side(name) for name in structures)
    return (0, *(labels.get((other or "").casefold(), label) for label, other in enumerate(others, start=1)))


def one_sided(structures: Sequence[str]) -> tuple[str, ...]:
    """List the structures whose other side isn't among ``structures``: a mirror image has no label for it."""
    names = {name.casefold() for name in structures}
    return tuple(name for name in structures if (other := other_side(name)) and other.casefold() not in names)


def _swapped(name: str) -> str:
    return _SIDE.sub(lambda found: _like(found[0], _OTHER[found[0].casefold()]), name)


def _like(word: str, other: str) -> str:
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other
