"""One picture of a prediction: planes through every structure, and in words what there is to know of it."""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure, SubFigure

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.manifest import NOTICE, SYNTHETIC, PredictionSummary
from gynbtnet.pictures.overlays import View, colour, draw_overlay, make_view, overlay_size
from gynbtnet.pictures.picture import picture
from gynbtnet.runtime.atomic_files import atomic_write

MOST_ROWS = 8
"""Structures that are drawn; more would make a picture that nobody looks through."""

_WORDS_INCHES = 2.6
_LINE_INCHES = 0.21
_GAP_INCHES = 0.1
_DPI = 75
_WARNING = "#ffb454"


def write_preview(
    scan: Volume,
    contours: Segmentation,
    told: PredictionSummary,
    path: Path,
    *,
    names: StructureNames,
    title: str,
    synthetic: bool,
) -> None:
    """Write a PNG with a row a structure: axial, coronal and sagittal planes through its middle, and its words.

    Every plane shows the contours of all structures. What was not found is told at the top.

    Args:
        scan: HU.
        contours: on its grid.
        told: what to say of them.
        path: of the PNG.
        names: colours of the structures.
        title: the first line.
        synthetic: whether to say that no real patient was scanned.
    """
    seen = make_view(scan, contours)
    found = [structure for structure in contours.structures if structure not in told.missing]
    width, row_height = overlay_size(seen)
    width += _WORDS_INCHES
    lines = _head(told, found, title, synthetic, columns=round(width * 13))
    heights = [_LINE_INCHES * (len(lines) + 1), *([row_height + _GAP_INCHES] * max(1, len(found[:MOST_ROWS])))]
    figure = Figure(figsize=(width, sum(heights)), facecolor="black")
    head, *rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    head.set_facecolor("black")
    for number, (line, shade) in enumerate(lines):
        place = 1 - (number + 0.9) / (len(lines) + 1)
        head.text(0.01, place, line, color=shade, fontsize=11 if number else 14, va="center")
    if not found:
        _draw_row(rows[0], seen, names, ("nothing was found", "white"), ())
    for structure, row in zip(found, rows, strict=False):
        at = _middle(contours.mask(structure), contours.labels.geometry)
        heading = (structure, colour(structure, names))
        _draw_row(row, replace(seen, point=at), names, heading, _words(structure, told))
    with atomic_write(path) as partial:
        partial.write_bytes(picture(figure, title, _DPI).png)


def _head(
    told: PredictionSummary, found: Sequence[str], title: str, synthetic: bool, *, columns: int
) -> list[tuple[str, str]]:
    """Lines of text and their colours."""
    said = [(title, "white"), (NOTICE, "white")]
    said += [(SYNTHETIC, _WARNING)] if synthetic else []
    said += [(warning, _WARNING) for warning in told.warnings]
    if told.missing and found:
        said.append((f"Not found: {', '.join(told.missing)}.", _WARNING))
    if len(found) > MOST_ROWS:
        rest = ", ".join(f"{name} {told.volumes_cm3[name]:.1f} cm³" for name in found[MOST_ROWS:])
        said.append((f"And {len(found) - MOST_ROWS} more, not drawn in rows: {rest}.", "white"))
    return [(line, shade) for text, shade in said for line in textwrap.wrap(text, columns)]


def _words(structure: str, told: PredictionSummary) -> list[tuple[str, str]]:
    """Of one structure: its volume, how far single passes agreed, the DSC to expect, its flags."""
    said = [(f"{told.volumes_cm3[structure]:.1f} cm³", "white")]
    agreement = told.agreement.get(structure)
    if agreement is not None:
        said.append((f"agreement {agreement:.2f}", "white"))
    if expected := told.predicted_dsc.get(structure):
        said.append((f"DSC {expected.dsc:.2f}, {expected.low:.2f} to {expected.high:.2f}?", "white"))
    if told.review.get(structure):
        said.append(("REVIEW", _WARNING))
    flags = [flag.sentence for flag in told.flags if flag.structure == structure]
    return said + [(line, _WARNING) for flag in flags for line in textwrap.wrap(flag, 30)]


def _draw_row(
    row: SubFigure, seen: View, names: StructureNames, heading: tuple[str, str], words: Sequence[tuple[str, str]]
) -> None:
    row.set_facecolor("black")
    planes_width, height = overlay_size(seen)
    text, planes = row.subfigures(1, 2, width_ratios=(_WORDS_INCHES, planes_width), wspace=0, squeeze=False)[0]
    for number, (line, shade) in enumerate((heading, *words)):
        text.text(
            0.05, 1 - 1.5 * _LINE_INCHES * (number + 0.7) / height, line, color=shade, fontsize=11 if number else 13
        )
    for part in (text, planes):
        part.set_facecolor("black")
    draw_overlay(planes, seen, names)


def _middle(mask: np.ndarray, geometry: Geometry) -> tuple[float, float, float]:
    """The structure's centroid, (x, y, z) in mm; of a hollow or bent one its voxel nearest to that."""
    voxels = np.argwhere(mask)
    offsets = (voxels - voxels.mean(axis=0)) * geometry.spacing
    x, y, z = geometry.to_world(voxels[(offsets**2).sum(axis=1).argmin()])
    return float(x), float(y), float(z)
