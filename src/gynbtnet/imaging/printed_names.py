"""Names from files and paths, as they are compared and printed."""

import unicodedata


def unicode_composed(text: str) -> str:
    """Text in composed Unicode (NFC), so that an accent is the same character however it was coded."""
    return unicodedata.normalize("NFC", text)


def as_one_line(text: str) -> str:
    """A name as it can be printed: composed Unicode on one line, with ``?`` for control characters."""
    line = unicode_composed(" ".join(text.split()))
    return "".join(one if one.isprintable() or unicodedata.category(one) == "Cf" else "?" for one in line)
