"""Names from files and paths in the form in which they are compared and printed."""

import os
import unicodedata
from pathlib import Path

from gynbtnet.runtime.errors import BadInput


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


def check_utf8(path: Path | str) -> None:
    """Check that a path is UTF-8, since no other one can be written to a table or passed to libraries.

    Args:
        path: path of a file or folder.

    Raises:
        BadInput: If it is not.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"The name of {path} is not UTF-8; rename the file or its folder.") from error
