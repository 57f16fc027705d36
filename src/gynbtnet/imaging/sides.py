"""Left and right in the names of structures, and labels in mirrored images."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

_LEFT = (
    *("left", "l", "lt", "lft", "sin", "sinister", "sinistra", "sinistro", "sx", "links", "linke", "linker", "linkes"),
    *("li", "gauche", "gche", "izquierda", "izquierdo", "esquerda", "esquerdo", "vänster", "venstre", "左"),
)
_RIGHT = (
    *("right", "r", "rt", "rgt", "dex", "dexter", "destra", "destro", "dx", "rechts", "rechte", "rechter", "rechtes"),
    *("re", "droit", "droite", "dte", "derecha", "derecho", "direita", "direito", "höger", "højre", "右"),
)
_GLUED = ("left", "right", "links", "rechts", "linke", "rechte")
"""Words that mean a side also within a longer word, as in leftkidney and KIDNEYLEFT."""


def _any_of(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


_GLUED_ANY = _any_of(_GLUED)
_CAMEL = _any_of(word.capitalize() for word in (*_GLUED, "lt", "rt", "li", "re", "lft", "rgt"))
_SIDE = re.compile(
    rf"(?<![^\W_])(?i:{_any_of((*_LEFT, *_RIGHT))})(?![^\W_])"  # kidney_left, Kidney_L
    r"|(?<![^\W\d_])(?i:left|right|links|rechts)(?![^\W\d_])"  # rib_left4
    rf"|(?<=[a-z])(?:{_CAMEL})(?![a-z])|(?<![^\W_])(?:{_CAMEL})(?=[A-Z])"  # KidneyLeft, FemurLt, LeftKidney
    rf"|(?<=[a-z]{{3}})(?:{_GLUED_ANY})(?![a-z])|(?<=[A-Z]{{3}})(?:{_GLUED_ANY.upper()})(?![A-Za-z])"  # kidneyleft
    rf"|(?<![^\W_])(?i:{_GLUED_ANY})(?=[^\W\d_]{{3}})"  # leftkidney
    r"|(?<=[a-z])[LR](?![^\W_])|(?<![^\W_])[LR](?=[A-Z][a-z])"  # FemurL, LKidney
    r"|[左右]"
)
_ONLY_TOGETHER = tuple(
    map(re.compile, (r"(?<![^\W_])(?:izq|der|izda|dcha)(?![^\W_])", r"(?<=[^\W\d_])[lr]$", r"^[lr](?=[^\W\d_])"))
)
"""Patterns that mean a side only if the other side is also present: FHL with FHR, lkidney with rkidney."""

_Key = tuple[str, str]
"""A name without its sides, and its sides in their order, as letters L and R."""


def mirrored_labels(structures: Sequence[str]) -> tuple[int, ...]:
    """Return the label that replaces each label in an image mirrored left to right.

    A side is a word of the name, in several languages: ``hip_left``, ``rib_left_4``, ``Femur_Head_L``, ``LeftKidney``,
    ``rein droit``. Two structures are a pair if their names differ only in the side.

    Args:
        structures: names; label i + 1 belongs to structures[i].

    Returns:
        One label for each label from 0 on. Structures without a side, or whose other side isn't among ``structures``,
        keep their label. Swapping twice restores all labels.
    """
    labels = tuple(range(len(structures) + 1))
    keys = [_key(name, _SIDE) for name in structures]
    labels = _paired(labels, {i: key for i, key in enumerate(keys, start=1) if key[1]})
    for side in _ONLY_TOGETHER:
        labels = _paired(
            labels, {i: _key(structures[i - 1], side) for i, key in enumerate(keys, start=1) if not key[1]}
        )
    return labels


def has_unpaired_sides(structures: Sequence[str]) -> tuple[str, ...]:
    """List the structures whose other side isn't among ``structures``; a mirrored image has no label for it."""
    labels = mirrored_labels(structures)
    return tuple(name for i, name in enumerate(structures, start=1) if labels[i] == i and has_side(name))


def has_side(structure: str) -> bool:
    """Return True if a name contains left or right, but not both, as in ``ovaries_left_right``.

    Args:
        structure: name of a structure.

    Returns:
        True for a structure on one side.
    """
    return len(set(_key(structure, _SIDE)[1])) == 1


def _key(name: str, side: re.Pattern[str]) -> _Key:
    """Split a name into the rest of the name and its sides."""
    name = unicodedata.normalize("NFC", name)
    text = name if side is _SIDE else name.casefold()
    sides = "".join("L" if word.casefold() in (*_LEFT, "izq", "izda") else "R" for word in side.findall(text))
    return side.sub("\0", text).casefold(), sides


def _paired(labels: Sequence[int], keys: Mapping[int, _Key]) -> tuple[int, ...]:
    """Return the labels; those whose keys differ only in the sides and are unique are swapped in pairs."""
    result = list(labels)
    by_key: dict[_Key, list[int]] = {}
    for label, key in keys.items():
        by_key.setdefault(key, []).append(label)
    for (name, sides), matches in by_key.items():
        others = by_key.get((name, sides.translate({ord("L"): "R", ord("R"): "L"})), [])
        if sides and len(matches) == len(others) == 1 and result[matches[0]] in (matches[0], others[0]):
            result[matches[0]] = others[0]
    return tuple(result)
