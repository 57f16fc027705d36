"""The scans of an inspection in one picture, each with what was drawn on it."""

from pathlib import Path

from matplotlib.figure import Figure

from gynbtnet.datasets.inspection import Inspection
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.overlays import draw_overlay, overlay_size, visible_colour
from gynbtnet.pictures.picture import take_names_literally, without_font_warnings
from gynbtnet.runtime.atomic_files import atomic_write

_TITLE_INCHES = 0.3
_DPI = 110


def write_picture(inspection: Inspection, names: StructureNames, path: Path) -> None:
    """Write a PNG with a row a scan: axial, coronal and sagittal planes through the middle of its contours.

    Raises:
        ValueError: where the inspection found no scan to show.
    """
    if not inspection.views:
        raise ValueError("there is no scan to show")
    sizes = [overlay_size(seen) for _, seen in inspection.views]
    heights = [inches for _, height in sizes for inches in (_TITLE_INCHES, height)]
    figure = Figure(figsize=(max(width for width, _ in sizes), sum(heights)), facecolor="black")
    rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for (place, seen), title, row in zip(inspection.views, rows[::2], rows[1::2], strict=True):
        title.set_facecolor("black")
        row.set_facecolor("black")
        title.text(0.01, 0.5, place, color="white", fontsize=11, va="center")
        drawn = [name for name in seen.prediction.structures if seen.prediction.mask(name).any()]
        for number, structure in enumerate(reversed(drawn)):
            where = 0.99 - 0.09 * number
            title.text(
                where, 0.5, structure, color=visible_colour(structure, names), fontsize=11, va="center", ha="right"
            )
        draw_overlay(row, seen, names)
    take_names_literally(figure)
    with atomic_write(Path(path)) as partial, without_font_warnings():
        figure.savefig(partial, dpi=_DPI, facecolor="black")
