"""Static slices side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gynbtnet.pages.slice_drawing import SliceDrawing, StructureStyle, slice_svg
from gynbtnet.pages.slice_stack import SliceStack


@dataclass(frozen=True)
class Panel:
    """A static slice.

    Attributes:
        title: name of the model or of the case.
        note: a remark, for instance that a structure is missed; empty if there is none.
        stack: the slice, the only one of its stack.
        lines: segmentations whose contours are drawn.
        errors: models whose over- and under-segmentation is hatched.
        styles: name and colour of each structure that is drawn, by identifier.
        description: text for readers who can't see the picture.
    """

    title: str
    note: str
    stack: SliceStack
    lines: tuple[str, ...]
    errors: tuple[str, ...]
    styles: Mapping[str, StructureStyle]
    description: str


def panels(row: Sequence[Panel], key: str) -> str:
    """Return static slices side by side, as many per line as there is room for.

    Args:
        row: the slices.
        key: prefix of their ids, unique in the page.
    """
    content = ""
    for number, panel in enumerate(row):
        drawing = SliceDrawing(
            stack=panel.stack,
            index=0,
            key=f"{key}-{number}",
            styles=panel.styles,
            lines=dict.fromkeys(panel.lines, True),
            errors=dict.fromkeys(panel.errors, True),
            description=panel.description,
        )
        note = f' <span class="missed">{escape(panel.note)}</span>' if panel.note else ""
        caption = f"<figcaption><b>{escape(panel.title)}</b>{note}</figcaption>"
        content += f'<figure class="panel">{slice_svg(drawing)}{caption}</figure>'
    return f'<div class="panels">{content}</div>'
