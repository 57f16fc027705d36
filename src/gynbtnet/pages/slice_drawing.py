"""One slice with contours as SVG, its legends and its display windows.

The colour of a contour is that of its structure, the line style that of its source. The reference is filled, the first
model has a solid line, the others have dashed lines. Over-segmentation is hatched blue, under-segmentation orange, in
two directions, for readers who can't distinguish the colours. Isodoses become lighter towards the source.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from gynbtnet.pages.slice_stack import UNITS_PER_MM, WIDE_GREY, WIDE_HU, SliceStack
from gynbtnet.pictures.planes import EDGES, PlaneName

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
class SliceDrawing:
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


def slice_svg(drawing: SliceDrawing) -> str:
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


def _definitions(drawing: SliceDrawing) -> str:
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


def _isodoses(drawing: SliceDrawing) -> str:
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


def _cross(drawing: SliceDrawing) -> str:
    """Return the lines at which the other two planes cross this one."""
    if drawing.cross is None:
        return ""
    width, height = drawing.size
    x, y = (round(position * UNITS_PER_MM) for position in drawing.cross)
    return f'<g class="cross" data-cross="0"><path d="M{x} 0V{height}"/><path d="M0 {y}H{width}"/></g>'


def _hatches(drawing: SliceDrawing) -> str:
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


def _contours(drawing: SliceDrawing) -> tuple[str, str]:
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
