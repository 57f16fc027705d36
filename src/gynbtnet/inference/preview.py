"""Preview picture of a prediction: planes through every structure, with volume, predicted DSC and flags."""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.manifest import NOTICE, SYNTHETIC
from gynbtnet.inference.prediction import Prediction
from gynbtnet.pictures.overlays import View, draw_overlay, make_view, overlay_size, visible_colour
from gynbtnet.pictures.picture import render_picture
from gynbtnet.runtime.atomic_files import atomic_write

MOST_ROWS = 8
"""Largest number of rows, one per structure; nobody would read a longer picture."""

_TEXT_INCHES = 2.6
_LINE_INCHES = 0.21
_GAP_INCHES = 0.1
_DPI = 75
_WARNING = "#ffb454"
_TextLine = tuple[str, str]
"""A line of text and its colour."""


def write_preview(
    scan: Volume, prediction: Prediction, path: Path, *, names: StructureNames, title: str, synthetic: bool
) -> None:
    """Write a PNG with one row per structure: axial, coronal and sagittal planes through its centre, and its text.

    Every plane shows the contours of all structures. Structures that were not found are listed at the top.

    Args:
        scan: CT in HU.
        prediction: prediction on the scan's grid.
        path: path of the PNG.
        names: names and colours of the structures.
        title: first line.
        synthetic: state that no real patient was scanned.
    """
    segmentation = prediction.segmentation
    view = make_view(scan, segmentation)
    found = _found(prediction)
    width, row_height = overlay_size(view)
    width += _TEXT_INCHES
    lines = _head(prediction, names, title, synthetic, columns=round(width * 13))
    texts = [_structure_lines(structure, prediction) for structure in found[:MOST_ROWS]]
    heights = [_LINE_INCHES * (len(lines) + 1)]
    heights += [max(row_height + _GAP_INCHES, _text_height(text)) for text in texts or [[]]]
    figure = Figure(figsize=(width, sum(heights)), facecolor="black")
    head, *rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    head.set_facecolor("black")
    for number, (line, shade) in enumerate(lines):
        y = 1 - (number + 0.9) / (len(lines) + 1)
        head.text(0.01, y, line, color=shade, fontsize=11 if number else 14, va="center")
    if not found:
        _draw_row(rows[0], view, names, [("No structure was found", "white")], heights[1])
    for structure, row, text, height in zip(found, rows, texts, heights[1:], strict=False):
        centre = _centre(segmentation.mask(structure), segmentation.labels.geometry)
        heading = (names.display_name(structure), visible_colour(structure, names))
        _draw_row(row, replace(view, point=centre), names, [heading, *text], height)
    with atomic_write(path) as partial:
        partial.write_bytes(render_picture(figure, title, _DPI).png)


def _found(prediction: Prediction) -> list[str]:
    """Return the structures that are not empty."""
    return [structure for structure in prediction.structures if structure not in prediction.missing]


def _head(
    prediction: Prediction, names: StructureNames, title: str, synthetic: bool, *, columns: int
) -> list[_TextLine]:
    """Return the lines above the rows."""
    found = _found(prediction)
    texts = [(title, "white"), (NOTICE, "white")]
    texts += [(SYNTHETIC, _WARNING)] if synthetic else []
    texts += [(warning, _WARNING) for warning in prediction.warnings]
    if prediction.missing and found:
        texts.append((f"Not found: {', '.join(map(names.display_name, prediction.missing))}.", _WARNING))
    if len(found) > MOST_ROWS:
        rest = ", ".join(
            f"{names.display_name(structure)} {prediction.volumes_cm3[structure]:.1f} cm³"
            for structure in found[MOST_ROWS:]
        )
        texts.append((f"And {len(found) - MOST_ROWS} more structures without a row: {rest}.", "white"))
    return [(line, shade) for text, shade in texts for line in textwrap.wrap(text, columns)]


def _structure_lines(structure: str, prediction: Prediction) -> list[_TextLine]:
    """Return the lines next to one structure: volume, agreement of the forward passes, predicted DSC, flags."""
    lines = [(f"{prediction.volumes_cm3[structure]:.1f} cm³", "white")]
    agreement = prediction.known_agreement(structure)
    if agreement is not None:
        lines.append((f"Agreement {agreement:.2f}", "white"))
    if predicted := prediction.predicted_dsc.get(structure):
        lines.append((f"Predicted DSC {predicted.dsc:.2f} ({predicted.low:.2f}–{predicted.high:.2f})", "white"))
    if prediction.needs_review(structure):
        lines.append(("REVIEW", _WARNING))
    flags = [flag.sentence for flag in prediction.flags if flag.structure == structure]
    return lines + [(line, _WARNING) for flag in flags for line in textwrap.wrap(flag, 30)]


def _text_height(lines: Sequence[_TextLine]) -> float:
    """Return the height in inches of a heading and the lines below it."""
    return 1.5 * _LINE_INCHES * (len(lines) + 1.5)


def _draw_row(row: SubFigure, view: View, names: StructureNames, lines: Sequence[_TextLine], height: float) -> None:
    """Draw the text, whose first line is the heading, and the planes in a row of ``height`` inches."""
    row.set_facecolor("black")
    planes_width, _ = overlay_size(view)
    text, planes = row.subfigures(1, 2, width_ratios=(_TEXT_INCHES, planes_width), wspace=0, squeeze=False)[0]
    for number, (line, shade) in enumerate(lines):
        y = 1 - 1.5 * _LINE_INCHES * (number + 0.7) / height
        text.text(0.05, y, line, color=shade, fontsize=11 if number else 13)
    for part in (text, planes):
        part.set_facecolor("black")
    draw_overlay(planes, view, names)


def _centre(mask: npt.NDArray[np.bool_], geometry: Geometry) -> tuple[float, float, float]:
    """Return the structure's voxel nearest to its centroid, as (x, y, z) in mm: inside even if it is hollow or bent."""
    voxels = np.argwhere(mask)
    offsets = (voxels - voxels.mean(axis=0)) * geometry.spacing
    x, y, z = geometry.to_world(voxels[(offsets**2).sum(axis=1).argmin()])
    return float(x), float(y), float(z)
