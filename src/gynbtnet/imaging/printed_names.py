"""Names from files and paths in the form in which they are compared and printed."""

import unicodedata


def unicode_composed(text: str) -> str:
    """Return text in composed Unicode (NFC), in which every accented character has a single code.

    Args:
        text: any text.

    Returns:
        The composed text, which looks the same.
    """
    return unicodedata.normalize("NFC", text)


def as_one_line(text: str) -> str:
    """Return a name in printable form: composed Unicode on one line, with ``?`` for control characters."""
    line = unicode_composed(" ".join(text.split()))
    return "".join(char if char.isprintable() or unicodedata.category(char) == "Cf" else "?" for char in line)
