"""Slices with contours as SVG: pictures that stand still, and the viewer that a reader scrolls through.

Who drew a contour is told by its line, what it is of by its colour: the truth is filled, the first model's line is
whole, the others' are dashed. What a model draws beside the truth is hatched blue (over-segmentation), what it leaves
out orange (under-segmentation), in two directions, for those who don't tell the colours apart.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gynbtnet.evaluation.reports.compared_case import TRUTH
from gynbtnet.evaluation.reports.slice_stack import PER_MM, SliceStack
from gynbtnet.pictures.planes import EDGES, PlaneName

OVER, UNDER = "#56b4e9", "#ff9d2e"
SCALE_BARS_MM = 50, 20
"""The shorter one where the longer would take a third of the picture."""
ALONG: Mapping[PlaneName, str] = {"axial": "z", "coronal": "y", "sagittal": "x"}
_LINES = ("filled", "line", "dashed", "dotted", "dash-dotted")
_OFF = {True: "", False: ' class="off"'}
_HATCH = 10  # units of a path

HATCHES = (
    '<svg class="hatches" width="0" height="0" aria-hidden="true"><defs>'
    + "".join(
        f'<pattern id="{name}" width="{_HATCH}" height="{_HATCH}" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate({turn})"><rect width="{_HATCH}" height="{_HATCH}" fill="{colour}" '
        f'fill-opacity=".35"/><rect width="{_HATCH * 0.4:g}" height="{_HATCH}" fill="{colour}"/></pattern>'
        for name, colour, turn in (("over", OVER, 45), ("under", UNDER, -45))
    )
    + "</defs></svg>\n"
)
"""Stands once in a page that has slices."""


HATCH_LEGEND = (
    '<ul class="legend hatched">'
    + "".join(
        f'<li><svg width="22" height="14" viewBox="0 0 44 28" aria-hidden="true"><rect width="44" height="28" '
        f'fill="url(#{name})"/></svg>{words}</li>'
        for name, words in (("over", "over-segmentation"), ("under", "under-segmentation"))
    )
    + "</ul>"
)


@dataclass(frozen=True)
class ViewedCase:
    """A case in the viewer.

    Attributes:
        title: which case, and why it is shown.
        caption: its figures.
        stacks: its planes.
        models: who is compared with the truth; the first one is shown at first.
        colours: of each structure, #rrggbb.
    """

    title: str
    caption: str
    stacks: tuple[SliceStack, ...]
    models: tuple[str, ...]
    colours: Mapping[str, str]


@dataclass(frozen=True)
class Panel:
    """A slice that stands still.

    Attributes:
        title: whose contours, or of which case.
        note: what is to be said of it, such as that a structure is missed; empty where nothing is.
        stack: the one slice.
        lines: who of the stack is drawn.
        errors: whose over- and under-segmentation is hatched.
        colours: of each structure that is drawn, #rrggbb.
        description: in words.
    """

    title: str
    note: str
    stack: SliceStack
    lines: tuple[str, ...]
    errors: tuple[str, ...]
    colours: Mapping[str, str]
    description: str


def panels(row: Sequence[Panel], key: str) -> str:
    """Panels side by side, as many as there is room for; ``key`` is unique in the page."""
    inside = ""
    for place, one in enumerate(row):
        lines, errors = dict.fromkeys(one.lines, True), dict.fromkeys(one.errors, True)
        picture = _svg(one.stack, 0, f"{key}-{place}", one.colours, lines, errors, one.description)
        note = f' <span class="missed">{escape(one.note)}</span>' if one.note else ""
        inside += f'<figure class="panel">{picture}<figcaption><b>{escape(one.title)}</b>{note}</figcaption></figure>'
    return f'<div class="panels">{inside}</div>'


def viewer(case: ViewedCase, key: str) -> str:
    """A case that a reader scrolls through, plane by plane; without scripts, and on paper, its middle slices."""
    who = (TRUTH, *case.models)
    lines, errors = {name: place < 2 for place, name in enumerate(who)}, dict.fromkeys(case.models, False)
    planes, data = [], []
    for stack in case.stacks:
        name = f"{key}-{stack.plane}"
        description = f"{stack.plane} slices of {case.title}: contours of {', '.join(who)}"
        picture = _svg(stack, stack.first, name, case.colours, lines, errors, description)
        where = [_where(stack, place) for place in range(len(stack.images))]
        planes.append(
            f'<figure class="plane">{picture}<figcaption><input class="controls" type="range" min="0" '
            f'max="{len(where) - 1}" value="{stack.first}" aria-label="{stack.plane} slice" '
            f'aria-valuetext="{where[stack.first]}"><output>{where[stack.first]}</output></figcaption></figure>'
        )
        data.append(
            {
                "images": [base64.b64encode(one).decode() for one in stack.images],
                "where": where,
                "paths": {
                    f"{name}-{i}-{j}": stack.outlines[drawer][structure]
                    for i, drawer in enumerate(who)
                    for j, structure in enumerate(case.colours)
                },
            }
        )
    drawers = "".join(
        _switch("line", i, f"{name} ({_LINES[i % len(_LINES)]})", on) for i, (name, on) in enumerate(lines.items())
    )
    mistakes = "".join(_switch("errors", i, name, False) for i, name in enumerate(case.models, start=1))
    structures = "".join(
        _switch("structure", j, name, True, colour) for j, (name, colour) in enumerate(case.colours.items())
    )
    packed = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div class="viewer" id="{key}" role="group" aria-label="{escape(case.title)}">'
        f'<div class="controls switches"><fieldset><legend>Contours</legend>{drawers}</fieldset>'
        f"<fieldset><legend>Errors</legend>{mistakes}</fieldset>"
        f"<fieldset><legend>Structures</legend>{structures}</fieldset></div>"
        f'<div class="planes">{"".join(planes)}</div>'
        f'<script type="application/json">{packed}</script></div>\n'
    )


def _switch(kind: str, number: int, name: str, on: bool, colour: str = "") -> str:
    swatch = f'<span class="swatch" style="background:{escape(colour)}"></span>' if colour else ""
    checked = " checked" if on else ""
    return f'<label><input type="checkbox" data-{kind}="{number}"{checked}>{swatch}{escape(name)}</label>'


def _where(stack: SliceStack, place: int) -> str:
    return f"{stack.plane} {place + 1} of {len(stack.images)}, {ALONG[stack.plane]} = {stack.places[place]:z.0f} mm"


def _svg(
    stack: SliceStack,
    place: int,
    key: str,
    colours: Mapping[str, str],
    lines: Mapping[str, bool],
    errors: Mapping[str, bool],
    description: str,
) -> str:
    """One slice. A path is defined once, and used for lines, hatches and masks.

    Args:
        stack: of which slice number ``place`` is drawn.
        place: its number.
        key: what its ids begin with.
        colours: of the structures that are drawn.
        lines: who is drawn, and whether to be seen at first.
        errors: whose errors are hatched, and whether to be seen at first.
        description: in words.
    """
    width, height = round(stack.width * PER_MM), round(stack.height * PER_MM)
    box = f'x="0" y="0" width="{width}" height="{height}"'
    who = list(dict.fromkeys((TRUTH, *lines, *errors) if errors else lines))
    ids = {(drawer, name): f"{key}-{i}-{j}" for i, drawer in enumerate(who) for j, name in enumerate(colours)}
    parts = "".join(
        f'<path id="{name}" fill-rule="evenodd" d="{stack.outlines[drawer][structure][place]}"/>'
        for (drawer, structure), name in ids.items()
    )
    parts += "".join(
        f'<mask id="{name}-not" maskUnits="userSpaceOnUse" {box}><rect {box} fill="#fff"/>'
        f'<use href="#{name}" fill="#000"/></mask>'
        for name in (ids.values() if errors else ())
    )
    hatched = ""
    for drawer, seen in errors.items():
        uses = "".join(
            f'<use href="#{here}" mask="url(#{there}-not)" fill="url(#{kind})" data-structure="{j}"/>'
            for j, name in enumerate(colours)
            for kind, here, there in (
                ("over", ids[drawer, name], ids[TRUTH, name]),
                ("under", ids[TRUTH, name], ids[drawer, name]),
            )
        )
        hatched += f'<g data-errors="{who.index(drawer)}"{_OFF[seen]}>{uses}</g>'
    filled = lined = ""
    for drawer, seen in lines.items():
        number, is_truth = who.index(drawer), drawer == TRUTH
        uses = "".join(
            f'<use href="#{ids[drawer, name]}" data-structure="{j}" stroke="{escape(colour)}" '
            f'fill="{escape(colour) if is_truth else "none"}"/>'
            for j, (name, colour) in enumerate(colours.items())
        )
        style = 'data-of="truth"' if is_truth else f'stroke-dasharray="{_dashes(number)}"'
        group = f'<g data-line="{number}" {style}{_OFF[seen]}>{uses}</g>'
        filled, lined = filled + group * is_truth, lined + group * (not is_truth)
    return (
        f'<svg class="slice" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(description)}">'
        f'<defs>{parts}</defs><image {box} preserveAspectRatio="none" '
        f'href="data:image/webp;base64,{base64.b64encode(stack.images[place]).decode()}"/>'
        f"{filled}{hatched}{lined}{_marks(stack.plane, width, height)}</svg>"
    )


def _dashes(number: int) -> str:
    """Of the first model a whole line, whatever number it has beside the truth."""
    return ("none", "7 4", "2 3", "9 3 2 3")[(number - 1) % 4 if number else 0]


def _marks(plane: PlaneName, width: int, height: int) -> str:
    """The picture's edges by name, and a length to compare with."""
    size = max(width, height) / 22
    left, right, top, bottom = EDGES[plane]
    places = (
        (left, size * 0.4, height / 2, "start"),
        (right, width - size * 0.4, height / 2, "end"),
        (top, width / 2, size, "middle"),
        (bottom, width / 2, height - size * 0.4, "middle"),
    )
    texts = "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{word}</text>' for word, x, y, anchor in places
    )
    length = SCALE_BARS_MM[width < 3 * SCALE_BARS_MM[0] * PER_MM]
    end, bar = width - size * 0.5, length * PER_MM
    below = height - size * 0.5
    return (
        f'<g class="marks" font-size="{size:.0f}" aria-hidden="true">{texts}<path d="M{end:.0f} {below:.0f}h-{bar}"/>'
        f'<text x="{end - bar / 2:.0f}" y="{below - size * 0.4:.0f}" text-anchor="middle">{length} mm</text></g>'
    )
