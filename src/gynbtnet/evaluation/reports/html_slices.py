"""Slices with contours as SVG: static panels, and the viewer in which a reader scrolls.

The colour of a contour is that of its structure, the line style that of its source. The truth is filled, the first
model has a solid line, the others have dashed lines. Over-segmentation is hatched blue, under-segmentation orange, in
two directions, for readers who can't distinguish the colours.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gynbtnet.evaluation.reports.compared_case import TRUTH
from gynbtnet.evaluation.reports.slice_stack import UNITS_PER_MM, SliceStack
from gynbtnet.pictures.planes import EDGES, PlaneName
from gynbtnet.runtime.phrases import enumeration

OVER, UNDER = "#56b4e9", "#ff9d2e"
SCALE_BARS_MM = 50, 20
"""Lengths of the scale bar; the shorter one if the longer would take a third of the picture."""
ALONG: Mapping[PlaneName, str] = {"axial": "z", "coronal": "y", "sagittal": "x"}
"""Patient axis along which the slices of a plane are counted."""
_LINES = ("filled", "line", "dashed", "dotted", "dash-dotted")
_OFF = {True: "", False: ' class="off"'}
_HATCH = 10  # width of a hatch in path units

HATCHES = (
    '<svg class="hatches" width="0" height="0" aria-hidden="true"><defs>'
    + "".join(
        f'<pattern id="{name}" width="{_HATCH}" height="{_HATCH}" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate({angle})"><rect width="{_HATCH}" height="{_HATCH}" fill="{colour}" '
        f'fill-opacity=".35"/><rect width="{_HATCH * 0.4:g}" height="{_HATCH}" fill="{colour}"/></pattern>'
        for name, colour, angle in (("over", OVER, 45), ("under", UNDER, -45))
    )
    + "</defs></svg>\n"
)
"""Definition of the hatch patterns; a page with slices needs it once."""


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
    """Name of a structure that people read, and its colour (#rrggbb)."""

    name: str
    colour: str


@dataclass(frozen=True)
class ViewedCase:
    """A case in the viewer.

    Attributes:
        title: rank and id of the case.
        caption: its scores.
        stacks: its planes.
        models: models to compare with the truth; the contours of the first one are visible at first.
        styles: name and colour of each structure, by identifier.
    """

    title: str
    caption: str
    stacks: tuple[SliceStack, ...]
    models: tuple[str, ...]
    styles: Mapping[str, StructureStyle]


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
    """

    stack: SliceStack
    index: int
    key: str
    styles: Mapping[str, StructureStyle]
    lines: Mapping[str, bool]
    errors: Mapping[str, bool]
    description: str

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
        return tuple(dict.fromkeys((TRUTH, *self.lines, *self.errors) if self.errors else self.lines))

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

    Args:
        case: the case.
        key: id of the viewer and prefix of all ids in it, unique in the page.
    """
    sources = (TRUTH, *case.models)
    lines = {name: number < 2 for number, name in enumerate(sources)}
    errors = dict.fromkeys(case.models, False)
    planes, data = [], []
    for stack in case.stacks:
        plane_key = f"{key}-{stack.plane}"
        description = f"{stack.plane.capitalize()} slices with the contours of {enumeration(sources)}: {case.title}"
        drawing = _Drawing(stack, stack.first, plane_key, case.styles, lines, errors, description)
        planes.append(_plane(drawing))
        data.append(
            {
                "images": [base64.b64encode(image).decode() for image in stack.images],
                "labels": _slice_labels(stack),
                "paths": {
                    f"{plane_key}-{i}-{j}": stack.outlines[source][structure]
                    for i, source in enumerate(sources)
                    for j, structure in enumerate(case.styles)
                },
            }
        )
    packed = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div class="viewer" id="{key}" role="group" aria-label="{escape(case.title)}">'
        f"{_switches(case, lines)}"
        f'<div class="planes">{"".join(planes)}</div>'
        f'<script type="application/json">{packed}</script></div>\n'
    )


def _plane(drawing: _Drawing) -> str:
    """Return a plane of the viewer: the slice, its slider and its position."""
    plane, labels, first = drawing.stack.plane, _slice_labels(drawing.stack), drawing.stack.first
    return (
        f'<figure class="plane">{_svg(drawing)}<figcaption><input class="controls" type="range" min="0" '
        f'max="{len(labels) - 1}" value="{first}" aria-label="{plane} slice" '
        f'aria-valuetext="{labels[first]}"><output>{labels[first]}</output></figcaption></figure>'
    )


def _switches(case: ViewedCase, lines: Mapping[str, bool]) -> str:
    """Return the check boxes of the viewer."""
    contours = "".join(
        _switch("line", i, f"{name} ({_LINES[i % len(_LINES)]})", on) for i, (name, on) in enumerate(lines.items())
    )
    errors = "".join(_switch("errors", i, name, False) for i, name in enumerate(case.models, start=1))
    structures = "".join(
        _switch("structure", j, style.name, True, style.colour) for j, style in enumerate(case.styles.values())
    )
    return (
        f'<div class="controls switches"><fieldset><legend>Contours</legend>{contours}</fieldset>'
        f"<fieldset><legend>Errors</legend>{errors}</fieldset>"
        f"<fieldset><legend>Structures</legend>{structures}</fieldset></div>"
    )


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
    return (
        f'<svg class="slice" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(drawing.description)}">'
        f'<defs>{_definitions(drawing)}</defs><image {drawing.box} preserveAspectRatio="none" '
        f'href="data:image/webp;base64,{image}"/>'
        f"{filled}{_hatches(drawing)}{lines}{_annotations(drawing.stack.plane, width, height)}</svg>"
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
    return paths + masks


def _hatches(drawing: _Drawing) -> str:
    """Return the over- and under-segmentation of each model."""
    ids, groups = drawing.ids, ""
    for source, visible in drawing.errors.items():
        uses = "".join(
            f'<use href="#{inside}" mask="url(#{outside}-not)" fill="url(#{kind})" data-structure="{j}"/>'
            for j, structure in enumerate(drawing.styles)
            for kind, inside, outside in (
                ("over", ids[source, structure], ids[TRUTH, structure]),
                ("under", ids[TRUTH, structure], ids[source, structure]),
            )
        )
        groups += f'<g data-errors="{drawing.sources.index(source)}"{_OFF[visible]}>{uses}</g>'
    return groups


def _contours(drawing: _Drawing) -> tuple[str, str]:
    """Return the filled contours of the truth, and the lines of the models."""
    filled = lines = ""
    for source, visible in drawing.lines.items():
        number, is_truth = drawing.sources.index(source), source == TRUTH
        uses = "".join(
            f'<use href="#{drawing.ids[source, structure]}" data-structure="{j}" stroke="{escape(style.colour)}" '
            f'fill="{escape(style.colour) if is_truth else "none"}"/>'
            for j, (structure, style) in enumerate(drawing.styles.items())
        )
        line_style = 'data-of="truth"' if is_truth else f'stroke-dasharray="{_dashes(number)}"'
        group = f'<g data-line="{number}" {line_style}{_OFF[visible]}>{uses}</g>'
        filled, lines = filled + group * is_truth, lines + group * (not is_truth)
    return filled, lines


def _dashes(number: int) -> str:
    """Return the dash pattern of a segmentation by its number; number 0 and the first model have a solid line."""
    return ("none", "7 4", "2 3", "9 3 2 3")[(number - 1) % 4 if number else 0]


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
