"""The part of a ROI name that names a structure, apart from the words around it and its side."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gynbtnet.imaging.names.spelling import comparison_key, plain_letters, split_words
from gynbtnet.imaging.names.surrounding_words import (
    AFTER_A_NUMBER,
    ANYWHERE,
    BEFORE_A_NUMBER,
    FIRST,
    GLUED_FIRST,
    GLUED_LAST,
    LEFT,
    MONTHS,
    NOT_INITIALS,
    READERS,
    RIGHT,
)
from gynbtnet.imaging.printed_names import unicode_composed

_DATE = re.compile(r"(?<!\d)\d{1,4}([/.])\d{1,2}\1\d{2,4}(?!\d)")
_SEPARATORS = re.compile(r"[\w\s\-–.,:;()\[\]#'’^]*")
_MOST_WORDS = 16
_SHORTEST_GLUED = 2


@dataclass(frozen=True)
class NameCore:
    """A possible name of a structure within a ROI name.

    Attributes:
        key: its comparison key, see :func:`~gynbtnet.imaging.names.spelling.comparison_key`.
        side: "left", "right", or empty.
    """

    key: str
    side: str = ""


@lru_cache(maxsize=4096)
def find_cores(name: str) -> tuple[NameCore, ...]:
    """Return the parts of a ROI name that may name its structure, the longest first.

    The words before and after each part don't change what was contoured: prefixes, fraction, plan, date, version,
    modality, reader, side. A name with an operator such as “Rectum+Anus” or “Bowel~” has no such part.

    Args:
        name: name of a ROI.
    """
    cores: dict[NameCore, None] = {}
    if is_without_operators(name):
        for words, by_separator in _splittings(_DATE.sub("1", name)):
            cores |= dict.fromkeys(_cores_of(words, by_separator=by_separator))
    return tuple(sorted(cores, key=lambda core: -len(core.key)))


def whole_core(name: str, *, sided: bool) -> NameCore | None:
    """Return the core of the full name of a structure; None if it has an operator, which only an equal name has.

    Args:
        name: name or alias of a structure.
        sided: the structure is on one side, so words for a side at the ends of its name are not part of the core.
    """
    words = [plain_letters(word) for word in split_words(name, at_capitals=sided)]
    if not words or not is_without_operators(name):
        return None
    sides = [_side(words[0]), _side(words[-1])] if sided and len(words) > 1 else ["", ""]
    words = words[bool(sides[0]) : len(words) - bool(sides[1])]
    return NameCore(comparison_key(tuple(words)), sides[0] or sides[1])


def is_without_operators(name: str) -> bool:
    """Return True if a name has only letters, digits and separators, and no “+” or “~”, which change its meaning."""
    return bool(_SEPARATORS.fullmatch(_DATE.sub("1", unicode_composed(name))))


def _splittings(name: str) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Return the ways to split a name into words, each with whether only its separators split it."""
    by_separator = split_words(name, at_capitals=False)
    if len(by_separator) > _MOST_WORDS:
        return
    yield by_separator, True
    if (by_capital := split_words(name, at_capitals=True)) != by_separator:
        yield by_capital, False
    for first in (by_separator, *_unglued_first(by_separator)):
        if first != by_separator:
            yield first, True
        for unglued in _unglued_last(first):
            yield unglued, True


def _unglued_first(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Return the words with the beginning of the first one split off: “zbladder” becomes “z”, “bladder”."""
    for start in GLUED_FIRST:
        if words and words[0].casefold().startswith(start) and _can_be_glued(words[0][len(start) :]):
            yield (words[0][: len(start)], words[0][len(start) :], *words[1:])


def _unglued_last(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Return the words with the ending of one of them split off: “bladderhdr” becomes “bladder”, “hdr”."""
    for i, word in enumerate(words):
        for ending in GLUED_LAST:
            if word.casefold().endswith(ending) and _can_be_glued(word[: -len(ending)]):
                yield (*words[:i], word[: -len(ending)], word[-len(ending) :], *words[i + 1 :])


def _can_be_glued(rest: str) -> bool:
    """Return True if the rest of a word may name a structure: “Rect” is not the right side (“re”) on a CT."""
    word = plain_letters(rest)
    return len(rest) >= _SHORTEST_GLUED and word not in ANYWHERE and not _side(word)


def _cores_of(words: tuple[str, ...], *, by_separator: bool) -> Iterator[NameCore]:
    plain = [plain_letters(word) for word in words]
    around = [_is_around(i, words, plain, by_separator=by_separator) for i in range(len(words))]
    for start in range(len(words)):
        if not all(around[:start]):
            return
        for stop in range(len(words), start, -1):
            if not all(around[stop:]):
                break
            sides = {_side(word) for word in (*plain[:start], *plain[stop:])} - {""}
            if len(sides) < 2 and not _is_cut(plain, start, stop):
                yield NameCore(comparison_key(tuple(plain[start:stop])), *sides)


def _is_cut(plain: Sequence[str], start: int, stop: int) -> bool:
    """Return True if a word and the number that it needs are on both sides of an end of the core."""
    before, after = plain[stop - 1 : stop + 1], plain[start - 1 : start + 1] if start else []
    return any(len(pair) == 2 and pair[0] in BEFORE_A_NUMBER and pair[1].isdigit() for pair in (before, after))


def _is_around(i: int, words: Sequence[str], plain: Sequence[str], *, by_separator: bool) -> bool:
    """Return True if a word doesn't change what was contoured, among the words around it."""
    word = plain[i]
    before = plain[i - 1] if i else ""
    after = plain[i + 1] if i + 1 < len(plain) else ""
    if word.isdigit() or word in ANYWHERE or _side(word):
        return True
    if word in FIRST and i == 0:
        return True
    if (word in BEFORE_A_NUMBER and after.isdigit()) or (word in AFTER_A_NUMBER and before.isdigit()):
        return True
    if word in MONTHS and (before.isdigit() or after.isdigit()):
        return True
    if len(word) == 1 and before in READERS:
        return True
    return by_separator and i > 0 and _are_initials(words[i])


def _are_initials(word: str) -> bool:
    return len(word) == 2 and word.isalpha() and word.isupper() and word not in NOT_INITIALS


def _side(word: str) -> str:
    return "left" if word in LEFT else "right" if word in RIGHT else ""
