"""Picture of the scans of an inspection with their contours."""

from pathlib import Path

from matplotlib.figure import Figure

from gynbtnet.datasets.inspection import Inspection
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.overlays import draw_overlay, overlay_size, visible_colour
from gynbtnet.pictures.picture import take_names_literally, without_font_warnings
from gynbtnet.runtime.atomic_files import atomic_write

_TITLE_INCHES = 0.3
_DPI = 110


def write_inspection_picture(inspection: Inspection, names: StructureNames, path: Path) -> None:
    """Write a PNG with one row per scan: axial, coronal and sagittal planes through the middle of its contours.

    Args:
        inspection: inspected folder.
        names: table of structure names, for their colours.
        path: path of the PNG.

    Raises:
        ValueError: If the inspection has no scan to show.
    """
    if not inspection.views:
        raise ValueError("there is no scan to show")
    sizes = [overlay_size(view) for _, view in inspection.views]
    heights = [inches for _, height in sizes for inches in (_TITLE_INCHES, height)]
    figure = Figure(figsize=(max(width for width, _ in sizes), sum(heights)), facecolor="black")
    rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for (path_below, view), title, row in zip(inspection.views, rows[::2], rows[1::2], strict=True):
        title.set_facecolor("black")
        row.set_facecolor("black")
        title.text(0.01, 0.5, path_below, color="white", fontsize=11, va="center")
        present = [name for name in view.prediction.structures if view.prediction.mask(name).any()]
        for number, structure in enumerate(reversed(present)):
            x = 0.99 - 0.09 * number
            title.text(x, 0.5, structure, color=visible_colour(structure, names), fontsize=11, va="center", ha="right")
        draw_overlay(row, view, names)
    take_names_literally(figure)
    with atomic_write(Path(path)) as partial, without_font_warnings():
        figure.savefig(partial, dpi=_DPI, facecolor="black")
