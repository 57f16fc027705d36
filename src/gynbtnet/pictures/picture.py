"""A finished picture with the words for those who can't see it."""

import io
from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """PNG bytes and a description in words."""

    png: bytes
    description: str


def picture(figure: Figure, description: str, dots_per_inch: int = 110) -> Picture:
    """Draw a figure; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return Picture(buffer.getvalue(), description)
