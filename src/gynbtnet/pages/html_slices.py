"""Slices with contours as SVG: static panels, and the viewer in which a reader scrolls.

The colour of a contour is that of its structure, the line style that of its source. The reference is filled, the first
model has a solid line, the others have dashed lines. Over-segmentation is hatched blue, under-segmentation orange, in
two directions, for readers who can't distinguish the colours. Isodoses become lighter towards the source.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from gynbtnet.pages.slice_stack import UNITS_PER_MM, WIDE_GREY, WIDE_HU, SliceStack
from gynbtnet.pictures.planes import EDGES, PlaneName
from gynbtnet.runtime.phrases import enumeration

REFERENCE = "reference"
"""Name of the contours that predictions are compared with, everywhere on a page."""
OVER, UNDER = "#56b4e9", "#ff9d2e"
ISODOSE_COLOURS = ("#7c8ff0", "#31b6c8", "#4fd18b", "#b9e02f", "#fde725", "#ffffff")
"""Colours of isodoses from cold to hot, each lighter than the one before."""
WINDOWS: Mapping[str, tuple[str, float, float]] = {
    "pelvis": ("pelvis", 40, 400),
    "soft": ("soft tissue", 50, 200),
    "bone": ("bone", 400, 1800),
    "applicator": ("applicator", 1500, 3000),
}
"""Display windows of the viewer: name, level and width in HU."""
SCALE_BARS_MM = 50, 20
"""Lengths of the scale bar; the shorter one if the longer would take a third of the picture."""
ALONG: Mapping[PlaneName, str] = {"axial": "z", "coronal": "y", "sagittal": "x"}
"""Patient axis along which the slices of a plane are counted."""
_LINES = ("line", "dashed", "dotted", "dash-dotted")
_DASHES = ("none", "7 4", "2 3", "9 3 2 3")
"""Dash pattern of each model's lines."""
_OFF = {True: "", False: ' class="off"'}
_HATCH = 10  # width of a hatch in path units
_GREY_STEP = 5


def _window_filter(key: str, level: float, width: float) -> str:
    """Return the SVG filter that turns the grey values of a wide picture into those of a window."""
    hu = np.interp(np.arange(0, 256, _GREY_STEP), WIDE_GREY, WIDE_HU)
    shades = np.clip((hu - level) / width + 0.5, 0, 1)
    table = " ".join(f"{shade:.3g}" for shade in shades)
    channels = "".join(f'<feFunc{channel} type="table" tableValues="{table}"/>' for channel in "RGB")
    return (
        f'<filter id="window-{key}" x="0" y="0" width="1" height="1" color-interpolation-filters="sRGB">'
        f"<feComponentTransfer>{channels}</feComponentTransfer></filter>"
    )


DEFINITIONS = (
    '<svg class="hatches" width="0" height="0" aria-hidden="true"><defs>'
    + "".join(_window_filter(key, level, width) for key, (_, level, width) in WINDOWS.items())
    + "".join(
        f'<pattern id="{name}" width="{_HATCH}" height="{_HATCH}" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate({angle})"><rect width="{_HATCH}" height="{_HATCH}" fill="{colour}" '
        f'fill-opacity=".35"/><rect width="{_HATCH * 0.4:g}" height="{_HATCH}" fill="{colour}"/></pattern>'
        for name, colour, angle in (("over", OVER, 45), ("under", UNDER, -45))
    )
    + "</defs></svg>\n"
)
"""Definition of the hatch patterns and windows; a page with slices needs it once."""


HATCH_LEGEND = (
    '<ul class="legend hatched">'
    + "".join(
        f'<li><svg width="22" height="14" viewBox="0 0 44 28" aria-hidden="true"><rect width="44" height="28" '
        f'fill="url(#{name})"/></svg>{label}</li>'
        for name, label in (("over", "over-segmentation"), ("under", "under-segmentation"))
    )
    + "</ul>"
)


@dataclass(frozen=True)
class StructureStyle:
    """Name and colour of a structure.

    Attributes:
        name: name that people read.
        colour: colour in pictures, #rrggbb.
    """

    name: str
    colour: str


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


@dataclass(frozen=True)
class _Drawing:
    """A slice to be drawn as SVG.

    Attributes:
        stack: the stack of the slice.
        index: index of the slice in the stack.
        key: prefix of all ids in the SVG; unique in the page.
        styles: structures that are drawn.
        lines: segmentations that are drawn, and whether they are visible at first.
        errors: models whose errors are hatched, and whether the hatching is visible at first.
        description: text for readers who can't see the picture.
        cross: position of the two other planes in mm from the picture's top left, (x, y); None: not drawn.
    """

    stack: SliceStack
    index: int
    key: str
    styles: Mapping[str, StructureStyle]
    lines: Mapping[str, bool]
    errors: Mapping[str, bool]
    description: str
    cross: tuple[float, float] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in path units."""
        return round(self.stack.width * UNITS_PER_MM), round(self.stack.height * UNITS_PER_MM)

    @property
    def box(self) -> str:
        """Attributes of a rectangle that covers the picture."""
        width, height = self.size
        return f'x="0" y="0" width="{width}" height="{height}"'

    @property
    def sources(self) -> tuple[str, ...]:
        """Segmentations whose paths are needed; their index is part of the ids."""
        return tuple(dict.fromkeys((REFERENCE, *self.lines, *self.errors) if self.errors else self.lines))

    @property
    def ids(self) -> dict[tuple[str, str], str]:
        """Id of the path of each segmentation and structure."""
        return {
            (source, structure): f"{self.key}-{i}-{j}"
            for i, source in enumerate(self.sources)
            for j, structure in enumerate(self.styles)
        }


def panels(row: Sequence[Panel], key: str) -> str:
    """Return static slices side by side, as many per line as there is room for.

    Args:
        row: the slices.
        key: prefix of their ids, unique in the page.
    """
    content = ""
    for number, panel in enumerate(row):
        drawing = _Drawing(
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
        content += f'<figure class="panel">{_svg(drawing)}{caption}</figure>'
    return f'<div class="panels">{content}</div>'


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
        drawing = _Drawing(stack, stack.first, plane_key, case.styles, lines, errors, description, crosses[stack.plane])
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


def _plane(drawing: _Drawing) -> str:
    """Return a plane of the viewer: the slice, its slider and its position."""
    plane, labels, first = drawing.stack.plane, _slice_labels(drawing.stack), drawing.stack.first
    return (
        f'<figure class="plane">{_svg(drawing)}<figcaption><input class="controls" type="range" min="0" '
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


def _svg(drawing: _Drawing) -> str:
    """Return one slice; each path is defined once, and used for lines, hatches and masks."""
    width, height = drawing.size
    image = base64.b64encode(drawing.stack.images[drawing.index]).decode()
    filled, lines = _contours(drawing)
    window = ' filter="url(#window-pelvis)"' if drawing.stack.is_wide else ""
    return (
        f'<svg class="slice" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(drawing.description)}">'
        f'<defs>{_definitions(drawing)}</defs><image {drawing.box} preserveAspectRatio="none"{window} '
        f'href="data:image/webp;base64,{image}"/>'
        f"{_isodoses(drawing)}{filled}{_hatches(drawing)}{lines}{_cross(drawing)}"
        f"{_annotations(drawing.stack.plane, width, height)}</svg>"
    )


def _definitions(drawing: _Drawing) -> str:
    """Return the paths and, if errors are hatched, for each path the mask of everything outside it."""
    outlines, ids, box = drawing.stack.outlines, drawing.ids, drawing.box
    paths = "".join(
        f'<path id="{name}" fill-rule="evenodd" d="{outlines[source][structure][drawing.index]}"/>'
        for (source, structure), name in ids.items()
    )
    masks = "".join(
        f'<mask id="{name}-not" maskUnits="userSpaceOnUse" {box}><rect {box} fill="#fff"/>'
        f'<use href="#{name}" fill="#000"/></mask>'
        for name in (ids.values() if drawing.errors else ())
    )
    doses = "".join(
        f'<path id="{drawing.key}-dose-{k}" fill-rule="evenodd" d="{paths[drawing.index]}"/>'
        for k, paths in enumerate(drawing.stack.isodoses.values())
    )
    return paths + masks + doses


def _isodoses(drawing: _Drawing) -> str:
    """Return the isodoses, from low to high."""
    uses = "".join(
        f'<use href="#{drawing.key}-dose-{k}" stroke="{ISODOSE_COLOURS[k % len(ISODOSE_COLOURS)]}" fill="none"/>'
        for k in range(len(drawing.stack.isodoses))
    )
    return f'<g data-dose="0">{uses}</g>' if uses else ""


def isodose_legend(levels: Sequence[str]) -> str:
    """Return a legend of isodoses and their colours."""
    colours = (ISODOSE_COLOURS[k % len(ISODOSE_COLOURS)] for k in range(len(levels)))
    items = "".join(
        f'<li><span class="line" style="background:{colour}"></span>{escape(level)}</li>'
        for level, colour in zip(levels, colours, strict=True)
    )
    return f'<ul class="legend dark"><li>Isodoses:</li>{items}</ul>' if items else ""


def _cross(drawing: _Drawing) -> str:
    """Return the lines at which the other two planes cross this one."""
    if drawing.cross is None:
        return ""
    width, height = drawing.size
    x, y = (round(position * UNITS_PER_MM) for position in drawing.cross)
    return f'<g class="cross" data-cross="0"><path d="M{x} 0V{height}"/><path d="M0 {y}H{width}"/></g>'


def _hatches(drawing: _Drawing) -> str:
    """Return the over- and under-segmentation of each model."""
    ids, groups = drawing.ids, ""
    for source, visible in drawing.errors.items():
        uses = "".join(
            f'<use href="#{inside}" mask="url(#{outside}-not)" fill="url(#{kind})" data-structure="{j}"/>'
            for j, structure in enumerate(drawing.styles)
            for kind, inside, outside in (
                ("over", ids[source, structure], ids[REFERENCE, structure]),
                ("under", ids[REFERENCE, structure], ids[source, structure]),
            )
        )
        groups += f'<g data-errors="{drawing.sources.index(source)}"{_OFF[visible]}>{uses}</g>'
    return groups


def _contours(drawing: _Drawing) -> tuple[str, str]:
    """Return the filled contours of the reference, and the lines of the models."""
    filled = lines = ""
    for source, visible in drawing.lines.items():
        number, is_reference = drawing.sources.index(source), source == REFERENCE
        uses = "".join(
            f'<use href="#{drawing.ids[source, structure]}" data-structure="{j}" stroke="{escape(style.colour)}" '
            f'fill="{escape(style.colour) if is_reference else "none"}"/>'
            for j, (structure, style) in enumerate(drawing.styles.items())
        )
        dashes = _DASHES[(number - (REFERENCE in drawing.sources)) % len(_DASHES)]
        line_style = 'data-of="reference"' if is_reference else f'stroke-dasharray="{dashes}"'
        group = f'<g data-line="{number}" {line_style}{_OFF[visible]}>{uses}</g>'
        filled, lines = filled + group * is_reference, lines + group * (not is_reference)
    return filled, lines


def _annotations(plane: PlaneName, width: int, height: int) -> str:
    """Return the anatomical directions at the picture's edges, and a scale bar."""
    size = max(width, height) / 22
    left, right, top, bottom = EDGES[plane]
    edges = (
        (left, size * 0.4, height / 2, "start"),
        (right, width - size * 0.4, height / 2, "end"),
        (top, width / 2, size, "middle"),
        (bottom, width / 2, height - size * 0.4, "middle"),
    )
    texts = "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{word}</text>' for word, x, y, anchor in edges
    )
    length = SCALE_BARS_MM[width < 3 * SCALE_BARS_MM[0] * UNITS_PER_MM]
    end, bar = width - size * 0.5, length * UNITS_PER_MM
    below = height - size * 0.5
    return (
        f'<g class="marks" font-size="{size:.0f}" aria-hidden="true">{texts}<path d="M{end:.0f} {below:.0f}h-{bar}"/>'
        f'<text x="{end - bar / 2:.0f}" y="{below - size * 0.4:.0f}" text-anchor="middle">{length} mm</text></g>'
    )
