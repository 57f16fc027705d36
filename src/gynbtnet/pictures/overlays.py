"""Figures of contours on the scan in three planes: the truth filled, the prediction as a line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure, FigureBase

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import union_of_boxes
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pictures.planes import EDGES, PLANES, Plane, PlaneName, as_displayed, plane, plane_box

SOFT_TISSUE_HU = (40 - 400 / 2, 40 + 400 / 2)
"""Display window of soft tissue: level 40, width 400."""
MARGIN_MM = 30.0
"""Distance between the contours and the edges of a picture, in mm."""
SCALE_BAR_MM = 50.0
LONGEST_SIDE_INCHES = 4.5
GAP_INCHES = 0.08
LUMINANCE_WEIGHTS = (0.2126, 0.7152, 0.0722)
"""Contributions of red, green and blue to luminance, ITU-R BT.709."""
LEAST_LUMINANCE = 0.4


@dataclass(frozen=True)
class View:
    """A scan and its contours, cropped to the contours, in anatomical axes.

    Attributes:
        image: CT in HU.
        truth: contours to compare with; None if the scan has none.
        prediction: contours of the model.
        point: intersection of the three planes, (x, y, z) in mm.
    """

    image: Volume
    truth: Segmentation | None
    prediction: Segmentation
    point: tuple[float, float, float]


def make_view(image: Volume, prediction: Segmentation, truth: Segmentation | None = None) -> View:
    """Crop to a cube around all contours with a margin, with planes through the middle of the contours.

    The planes cross at the mean of the structures' centroids. The truth is used if it has any contour, otherwise the
    prediction. A scan without contours is shown completely, through its centre.

    Args:
        image: CT in HU.
        prediction: contours of the model, on the image's grid.
        truth: contours to compare with, on the same grid.

    Returns:
        The cropped scan and contours, with axes as displayed, and the point at which the planes cross.

    Raises:
        ValueError: If image, truth and prediction differ in shape.
    """
    segmentations = [segmentation for segmentation in (truth, prediction) if segmentation is not None]
    if any(segmentation.labels.geometry.shape != image.geometry.shape for segmentation in segmentations):
        raise ValueError("image, truth and prediction must share one grid")
    around = union_of_boxes(box for segmentation in segmentations for box in segmentation.boxes().values())
    box = image.geometry.cube_around(around, MARGIN_MM)
    cropped = [segmentation.cropped(box).mapped(as_displayed) for segmentation in segmentations]
    return View(
        image=as_displayed(image.cropped(box)),
        truth=cropped[0] if truth is not None else None,
        prediction=cropped[-1],
        point=_middle(segmentations, image.geometry),
    )


def overlay_figure(view: View, names: StructureNames, planes: Sequence[PlaneName] = PLANES) -> Figure:
    """Return a figure with the planes side by side, in a soft-tissue window.

    All planes have the same scale and true proportions, and their edges are named.

    Args:
        view: scan and contours.
        names: colours of the structures.
        planes: planes from left to right.

    Returns:
        The figure, on black.
    """
    figure = Figure(figsize=overlay_size(view, planes), facecolor="black")
    draw_overlay(figure, view, names, planes)
    return figure


def overlay_size(view: View, planes: Sequence[PlaneName] = PLANES) -> tuple[float, float]:
    """Return width and height, in inches, of the planes side by side."""
    inches = _inches(view, planes)
    return float(inches[:, 1].sum() + GAP_INCHES * (len(planes) - 1)), float(inches[:, 0].max())


def draw_overlay(figure: FigureBase, view: View, names: StructureNames, planes: Sequence[PlaneName] = PLANES) -> None:
    """Draw the planes of :func:`overlay_figure` into a figure, or into a part of one."""
    width, height = overlay_size(view, planes)
    left = 0.0
    for name, (rows, columns) in zip(planes, _inches(view, planes), strict=True):
        axes = figure.add_axes((left / width, (1 - rows / height) / 2, columns / width, rows / height))
        _draw_scan(axes, plane(view.image, name, view.point), name)
        for segmentation, draw in ((view.truth, _fill), (view.prediction, _outline)):
            if segmentation is None:
                continue
            for structure, mask in _masks_on_plane(segmentation, name, view.point):
                draw(axes, mask, visible_colour(structure, names))
        left += columns + GAP_INCHES


def _masks_on_plane(
    segmentation: Segmentation, name: PlaneName, point: tuple[float, float, float]
) -> Iterator[tuple[str, Plane]]:
    """Yield each structure's mask on one plane, as it was drawn."""
    slab = segmentation.cropped(plane_box(segmentation.labels.geometry, name, point))
    for structure in segmentation.structures:
        yield structure, plane(Volume(slab.mask(structure), slab.labels.geometry), name, point)


def _inches(view: View, planes: Sequence[PlaneName]) -> npt.NDArray[np.float64]:
    """Return height and width of each plane in inches."""
    shown = [plane(view.image, name, view.point) for name in planes]
    sizes = np.array([[n * s for n, s in zip(each.array.shape, each.spacing, strict=True)] for each in shown])
    inches: npt.NDArray[np.float64] = sizes * LONGEST_SIDE_INCHES / sizes.max()
    return inches


def visible_colour(structure: str, names: StructureNames) -> str:
    """Return a structure's colour as #rrggbb, mixed with as much white as needed to be visible on a dark scan.

    Args:
        structure: name of the structure.
        names: colours of the structures.

    Returns:
        The colour, such as "#ff8080".
    """
    own = np.asarray(names.colour(structure)) / 255
    luminance = float(own @ LUMINANCE_WEIGHTS)
    white = max(0.0, (LEAST_LUMINANCE - luminance) / (1 - luminance))
    return to_hex(own + white * (1 - own))


def _middle(segmentations: Sequence[Segmentation], geometry: Geometry) -> tuple[float, float, float]:
    """Return the mean of the structures' centroids in the first segmentation that has any, else the grid's centre."""
    middle = geometry.to_world((np.asarray(geometry.shape) - 1) / 2)
    for segmentation in segmentations:
        centroids = [point for name in segmentation.structures if (point := segmentation.centroid_mm(name)) is not None]
        if centroids:
            middle = np.mean(centroids, axis=0)
            break
    x, y, z = middle
    return float(x), float(y), float(z)


def _draw_scan(axes: Axes, scan: Plane, name: PlaneName) -> None:
    """Draw one plane of the scan with the names of its edges and a scale bar."""
    height, width = (n * s for n, s in zip(scan.array.shape, scan.spacing, strict=True))
    low, high = SOFT_TISSUE_HU
    axes.imshow(scan.array, cmap="gray", vmin=low, vmax=high, extent=(0, width, height, 0), interpolation="bilinear")
    axes.set_axis_off()
    shadow = [patheffects.withStroke(linewidth=2, foreground="black")]
    text: dict[str, Any] = {"color": "white", "fontsize": 10, "path_effects": shadow, "transform": axes.transAxes}
    left, right, top, bottom = EDGES[name]
    axes.text(0.02, 0.5, left, ha="left", va="center", **text)
    axes.text(0.98, 0.5, right, ha="right", va="center", **text)
    axes.text(0.5, 0.98, top, ha="center", va="top", **text)
    axes.text(0.5, 0.02, bottom, ha="center", va="bottom", **text)
    bar = SCALE_BAR_MM / width
    axes.plot(
        [0.96 - bar, 0.96], [0.04, 0.04], color="white", linewidth=2, path_effects=shadow, transform=axes.transAxes
    )
    axes.text(0.96 - bar / 2, 0.055, f"{SCALE_BAR_MM:g} mm", ha="center", va="bottom", **(text | {"fontsize": 8}))


def _fill(axes: Axes, mask: Plane, colour: str) -> None:
    """Fill a mask."""
    if mask.array.any():
        axes.contourf(*_padded(mask), levels=[0.5, 1.5], colors=[colour], alpha=0.4)


def _outline(axes: Axes, mask: Plane, colour: str) -> None:
    """Draw the outline of a mask."""
    if mask.array.any():
        lines = axes.contour(*_padded(mask), levels=[0.5], colors=[colour], linewidths=1.6)
        lines.set_path_effects([patheffects.withStroke(linewidth=2.8, foreground="black", alpha=0.6)])


def _padded(mask: Plane) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return columns and rows in mm, and the mask with a border of zeros that closes contours at the edge."""
    padded = np.pad(mask.array, 1).astype(float)
    rows, columns = (s * (np.arange(n) - 0.5) for n, s in zip(padded.shape, mask.spacing, strict=True))
    return columns, rows, padded
