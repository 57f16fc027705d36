"""A finished picture with the words for those who can't see it."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.text import Text


@dataclass(frozen=True)
class Picture:
    """PNG bytes, a description in words, and the data that were drawn, as CSV; empty where they are the picture."""

    png: bytes
    description: str
    csv: str = ""


def take_names_literally(figure: Figure) -> None:
    """Keep names with dollar signs from being read as mathematics when the figure is drawn."""
    for text in figure.findobj(Text):
        if isinstance(text, Text) and "$" in text.get_text() and "\\mathdefault" not in text.get_text():
            text.set_parse_math(False)  # but tick labels, which are mathematics


@contextmanager
def without_font_warnings() -> Iterator[None]:
    """Draw names in scripts that the font lacks as boxes, without a warning for each character."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def picture(figure: Figure, description: str, dots_per_inch: int = 110, csv: str = "") -> Picture:
    """Draw a figure; the same figure gives the same bytes."""
    take_names_literally(figure)
    buffer = io.BytesIO()
    with without_font_warnings():
        figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return Picture(buffer.getvalue(), description, csv)
