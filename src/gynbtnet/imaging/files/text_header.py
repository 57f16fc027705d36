"""Values of headers in text form."""

import re
from collections.abc import Mapping
from pathlib import Path

from gynbtnet.imaging.files.image_header import unreadable

HEADER_BYTES = 2**20
"""Largest size of a header in text form."""

UNITS = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001}
"""Millimetres per unit of length."""


def number_field(
    path: Path, fields: Mapping[str, str], name: str, count: int | None = None, *, whole: bool = False
) -> tuple[float, ...]:
    """Return the numbers of a field.

    Args:
        path: the file.
        fields: values of the header by name.
        name: name of the field.
        count: expected number of values; None accepts any number of them.
        whole: if True, they must be whole numbers of at most 18 digits.

    Raises:
        BadInput: If the field is absent or has another content.
    """
    words = fields.get(name, "").split()
    try:
        if whole and not all(re.fullmatch(r"[+-]?\d{1,18}", word) for word in words):
            raise ValueError(words)
        values = tuple(int(word) if whole else float(word) for word in words)
    except ValueError:
        values = ()
    if not values or (count is not None and len(values) != count):
        expected = f"{count or 'some'} {'whole ' if whole else ''}number(s)"
        raise unreadable(path, f"its header has “{fields.get(name, '')[:60]}” for {name}, expected {expected}")
    return values
