"""The viewer of a case, in which a reader scrolls through the slices of three planes."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gynbtnet.pages.slice_drawing import REFERENCE, WINDOWS, SliceDrawing, StructureStyle, slice_svg
from gynbtnet.pages.slice_stack import SliceStack
from gynbtnet.pictures.planes import PlaneName
from gynbtnet.runtime.phrases import enumeration

ALONG: Mapping[PlaneName, str] = {"axial": "z", "coronal": "y", "sagittal": "x"}
"""Patient axis along which the slices of a plane are counted."""
_LINES = ("line", "dashed", "dotted", "dash-dotted")


@dataclass(frozen=True)
class ViewedCase:
    """A case in the viewer.

    Attributes:
        title: rank and id of the case.
        caption: its scores.
        stacks: its planes.
        models: models that predicted contours; those of the first one are visible at first.
        styles: name and colour of each structure, by identifier.
        has_reference: whether there are reference contours.
    """

    title: str
    caption: str
    stacks: tuple[SliceStack, ...]
    models: tuple[str, ...]
    styles: Mapping[str, StructureStyle]
    has_reference: bool = True

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all contours, the reference first."""
        return ((REFERENCE,) if self.has_reference else ()) + self.models

    @property
    def isodoses(self) -> tuple[str, ...]:
        """Levels of the isodoses, from low to high."""
        return tuple(self.stacks[0].isodoses)


def viewer(case: ViewedCase, key: str) -> str:
    """Return the viewer of a case; without scripts, and on paper, it shows the middle slice of each plane.

    A click into a plane moves the other two to the same point.

    Args:
        case: the case.
        key: id of the viewer and prefix of all ids in it, unique in the page.

    Returns:
        The HTML; the page needs :data:`DEFINITIONS` once.
    """
    lines = {name: number < 2 for number, name in enumerate(case.sources)}
    errors = dict.fromkeys(case.models if case.has_reference else (), False)
    crosses = _crosses(case.stacks)
    planes, data = [], []
    for stack in case.stacks:
        plane_key = f"{key}-{stack.plane}"
        description = (
            f"{stack.plane.capitalize()} slices with the contours of {enumeration(case.sources)}: {case.title}"
        )
        drawing = SliceDrawing(
            stack, stack.first, plane_key, case.styles, lines, errors, description, crosses[stack.plane]
        )
        planes.append(_plane(drawing))
        data.append(
            {
                "images": [base64.b64encode(image).decode() for image in stack.images],
                "labels": _slice_labels(stack),
                "depths": [round(depth, 2) for depth in stack.depths_mm],
                "paths": {
                    f"{plane_key}-{i}-{j}": stack.outlines[source][structure]
                    for i, source in enumerate(case.sources)
                    for j, structure in enumerate(case.styles)
                }
                | {f"{plane_key}-dose-{k}": paths for k, paths in enumerate(stack.isodoses.values())},
            }
        )
    packed = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div class="viewer" id="{key}" role="group" aria-label="{escape(case.title)}">'
        f"{_switches(case, lines, key)}"
        f'<div class="planes">{"".join(planes)}</div>'
        f'<script type="application/json">{packed}</script></div>\n'
    )


def _crosses(stacks: Sequence[SliceStack]) -> dict[PlaneName, tuple[float, float]]:
    """Return by plane the position of the other two planes' first slices, in mm from the picture's top left."""
    depth = {stack.plane: stack.depths_mm[stack.first] for stack in stacks}
    crosses: dict[PlaneName, tuple[float, float]] = {}
    for stack in stacks:
        x = depth["coronal"] if stack.plane == "sagittal" else depth["sagittal"]
        y = depth["coronal"] if stack.plane == "axial" else stack.height - depth["axial"]
        crosses[stack.plane] = (x, y)
    return crosses


def _plane(drawing: SliceDrawing) -> str:
    """Return a plane of the viewer: the slice, its slider and its position."""
    plane, labels, first = drawing.stack.plane, _slice_labels(drawing.stack), drawing.stack.first
    return (
        f'<figure class="plane">{slice_svg(drawing)}<figcaption><input class="controls" type="range" min="0" '
        f'max="{len(labels) - 1}" value="{first}" aria-label="{plane} slice" '
        f'aria-valuetext="{labels[first]}"><output>{labels[first]}</output></figcaption></figure>'
    )


def _switches(case: ViewedCase, lines: Mapping[str, bool], key: str) -> str:
    """Return the check boxes and the windows of the viewer."""
    drawn = ("filled", *_LINES) if case.has_reference else _LINES
    groups = [
        (
            "Contours",
            "".join(
                _switch("line", i, f"{name} ({drawn[i % len(drawn)]})", on)
                for i, (name, on) in enumerate(lines.items())
            ),
        ),
        (
            "Structures",
            "".join(
                _switch("structure", j, style.name, True, style.colour) for j, style in enumerate(case.styles.values())
            ),
        ),
    ]
    if case.has_reference:
        errors = "".join(_switch("errors", i, name, False) for i, name in enumerate(case.models, start=1))
        groups.insert(1, ("Errors", errors))
    if case.isodoses:
        groups.append(("Isodoses", _switch("dose", 0, ", ".join(case.isodoses), True)))
    if case.stacks[0].is_wide:
        windows = "".join(
            f'<label><input type="radio" name="{key}-window" value="{name}"{" checked" * (not number)}>{label}</label>'
            for number, (name, (label, _, _)) in enumerate(WINDOWS.items())
        )
        groups.append(("Window", windows))
    groups.append(("Lines", _switch("cross", 0, "planes", True)))
    content = "".join(f"<fieldset><legend>{name}</legend>{switches}</fieldset>" for name, switches in groups)
    return f'<div class="controls switches">{content}</div>'


def _switch(kind: str, number: int, name: str, on: bool, colour: str = "") -> str:
    swatch = f'<span class="swatch" style="background:{escape(colour)}"></span>' if colour else ""
    checked = " checked" if on else ""
    return f'<label><input type="checkbox" data-{kind}="{number}"{checked}>{swatch}{escape(name)}</label>'


def _slice_labels(stack: SliceStack) -> list[str]:
    """Return number and position of each slice in words."""
    return [
        f"{stack.plane} {number} of {len(stack.images)}, {ALONG[stack.plane]} = {position:z.0f} mm"
        for number, position in enumerate(stack.positions_mm, start=1)
    ]
