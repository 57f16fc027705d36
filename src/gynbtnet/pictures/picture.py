"""A finished picture with a description for people who can't see it."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.text import Text


@dataclass(frozen=True)
class Picture:
    """A picture for a report.

    Attributes:
        png: the picture as PNG.
        description: description in words.
        csv: the plotted data as CSV; empty if the picture shows no other data.
    """

    png: bytes
    description: str
    csv: str = ""


def take_names_literally(figure: Figure) -> None:
    """Prevent matplotlib from reading names with dollar signs as mathematics, and from failing on undecodable bytes.

    Names of files that aren't valid UTF-8 contain surrogates, which no font can draw; they become question marks.

    Args:
        figure: the finished figure; its texts are changed.
    """
    for text in figure.findobj(Text):
        drawable = text.get_text().encode("utf-8", "replace").decode("utf-8")
        if drawable != text.get_text():
            text.set_text(drawable)
        if "$" in text.get_text() and "\\mathdefault" not in text.get_text():
            text.set_parse_math(False)  # except tick labels, which are mathematics


@contextmanager
def without_font_warnings() -> Iterator[None]:
    """Draw names in scripts that the font lacks as boxes, without a warning for each character."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def render_picture(figure: Figure, description: str, dots_per_inch: int = 150, csv: str = "") -> Picture:
    """Return a figure as a picture; the same figure gives the same bytes.

    Args:
        figure: the figure.
        description: description in words.
        dots_per_inch: resolution.
        csv: the plotted data as CSV.

    Returns:
        The picture as PNG, with its description.
    """
    take_names_literally(figure)
    buffer = io.BytesIO()
    with without_font_warnings():
        figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return Picture(buffer.getvalue(), description, csv)
