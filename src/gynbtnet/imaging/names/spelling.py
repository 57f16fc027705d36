"""Spelling of names, as far as comparisons ignore it: case, accents, separators."""

import re
import unicodedata

from gynbtnet.imaging.printed_names import unicode_composed

_LETTERS = str.maketrans({"æ": "ae", "ø": "oe", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})
_UMLAUT = re.compile("([aou])e")
_WORD = re.compile(r"\d+|[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][^\W\d_A-Z])")


def normalise_name(name: str) -> str:
    """Return a name without case, spaces, hyphens, underscores and coding of accents, which comparisons ignore."""
    folded = unicode_composed(unicode_composed(name).casefold())
    return "".join(character for character in folded if not character.isspace() and character not in "-_")


def plain_letters(text: str) -> str:
    """Return text in lower case without accents: “Gebärmutter” and “GEBARMUTTER” become “gebarmutter”."""
    folded = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    return "".join(character for character in folded if not unicodedata.combining(character))


def comparison_key(words: tuple[str, ...]) -> str:
    """Return the form in which the words of two names are compared.

    “ä”, “ae” and “a” are equal, and so are the other umlauts, since clinics write all of these.

    Args:
        words: words in plain letters.
    """
    return _UMLAUT.sub(r"\1", "".join(words))


def split_words(name: str, *, at_capitals: bool) -> tuple[str, ...]:
    """Return the words and numbers of a name, without what separates them.

    Args:
        name: name as it is written.
        at_capitals: also split “BowelBag” and “LFemur” before a capital letter.
    """
    name = unicode_composed(name)
    words = _WORD.findall(name)
    if at_capitals:
        words = [part for word in words for part in _CAMEL.split(word)]
    return tuple(words)
