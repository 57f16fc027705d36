"""Pictures of contours on the scan: the truth filled, the prediction as a line, on three planes."""

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
"""Window of level 40, width 400."""
MARGIN_MM = 30.0
SCALE_BAR_MM = 50.0
LONGEST_SIDE_INCHES = 4.5
GAP_INCHES = 0.08
LUMINANCE_WEIGHTS = (0.2126, 0.7152, 0.0722)
"""Of red, green and blue, ITU-R BT.709."""
LEAST_LUMINANCE = 0.4


@dataclass(frozen=True)
class View:
    """A scan and its contours, cropped to them, in anatomical axes, and where to look.

    Attributes:
        image: HU.
        truth: contours to compare with; None for a scan without.
        prediction: what the model drew.
        point: where the three planes cross, (x, y, z) in mm.
    """

    image: Volume
    truth: Segmentation | None
    prediction: Segmentation
    point: tuple[float, float, float]


def make_view(image: Volume, prediction: Segmentation, truth: Segmentation | None = None) -> View:
    """Crop to a cube around all contours with a margin, and look at the middle of the contours.

    The planes cross at the mean of the structures' centroids, in the truth where it has any contour, else in the
    prediction. A scan on which nothing is drawn is shown whole, through its centre.

    Raises:
        ValueError: where image, truth and prediction don't have one shape.
    """
    drawn = [one for one in (truth, prediction) if one is not None]
    if any(one.labels.geometry.shape != image.geometry.shape for one in drawn):
        raise ValueError("image, truth and prediction must share one grid")
    around = union_of_boxes(box for one in drawn for box in one.boxes().values())
    box = image.geometry.cube_around(around, MARGIN_MM)
    cropped = [one.cropped(box).mapped(as_displayed) for one in drawn]
    return View(
        image=as_displayed(image.cropped(box)),
        truth=cropped[0] if truth is not None else None,
        prediction=cropped[-1],
        point=_middle(drawn, image.geometry),
    )


def overlay_figure(view: View, names: StructureNames, planes: Sequence[PlaneName] = PLANES) -> Figure:
    """The planes side by side at one scale, in true proportion, soft-tissue window, each with its edges named."""
    figure = Figure(figsize=overlay_size(view, planes), facecolor="black")
    draw_overlay(figure, view, names, planes)
    return figure


def overlay_size(view: View, planes: Sequence[PlaneName] = PLANES) -> tuple[float, float]:
    """Width and height in inches of the planes side by side."""
    inches = _inches(view, planes)
    return float(inches[:, 1].sum() + GAP_INCHES * (len(planes) - 1)), float(inches[:, 0].max())


def draw_overlay(figure: FigureBase, view: View, names: StructureNames, planes: Sequence[PlaneName] = PLANES) -> None:
    """Draw the planes of :func:`overlay_figure` into a figure, or a part of one."""
    width, height = overlay_size(view, planes)
    left = 0.0
    for name, (rows, columns) in zip(planes, _inches(view, planes), strict=True):
        axes = figure.add_axes((left / width, (1 - rows / height) / 2, columns / width, rows / height))
        _draw_scan(axes, plane(view.image, name, view.point), name)
        for segmentation, draw in ((view.truth, _fill), (view.prediction, _outline)):
            if segmentation is None:
                continue
            for structure, shown in _planes_of(segmentation, name, view.point):
                draw(axes, shown, colour(structure, names))
        left += columns + GAP_INCHES


def _planes_of(
    segmentation: Segmentation, name: PlaneName, point: tuple[float, float, float]
) -> Iterator[tuple[str, Plane]]:
    """Each structure's mask on one plane, as it was drawn."""
    slab = segmentation.cropped(plane_box(segmentation.labels.geometry, name, point))
    for structure in segmentation.structures:
        yield structure, plane(Volume(slab.mask(structure), slab.labels.geometry), name, point)


def _inches(view: View, planes: Sequence[PlaneName]) -> npt.NDArray[np.float64]:
    """Height and width of each picture."""
    pictures = [plane(view.image, name, view.point) for name in planes]
    sizes = np.array([[n * s for n, s in zip(one.array.shape, one.spacing, strict=True)] for one in pictures])
    inches: npt.NDArray[np.float64] = sizes * LONGEST_SIDE_INCHES / sizes.max()
    return inches


def colour(structure: str, names: StructureNames) -> str:
    """A structure's colour as #rrggbb, mixed with as much white as it takes to be seen on a dark scan."""
    own = np.asarray(names.colour(structure)) / 255
    luminance = float(own @ LUMINANCE_WEIGHTS)
    white = max(0.0, (LEAST_LUMINANCE - luminance) / (1 - luminance))
    return to_hex(own + white * (1 - own))


def _middle(drawn: Sequence[Segmentation], geometry: Geometry) -> tuple[float, float, float]:
    """Return the mean of the structures' centroids in the first segmentation that has any, else the grid's centre."""
    middle = geometry.to_world((np.asarray(geometry.shape) - 1) / 2)
    for segmentation in drawn:
        centroids = [point for name in segmentation.structures if (point := segmentation.centroid_mm(name)) is not None]
        if centroids:
            middle = np.mean(centroids, axis=0)
            break
    x, y, z = middle
    return float(x), float(y), float(z)


def _draw_scan(axes: Axes, scan: Plane, name: PlaneName) -> None:
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
    if mask.array.any():
        axes.contourf(*_outlined(mask), levels=[0.5, 1.5], colors=[colour], alpha=0.4)


def _outline(axes: Axes, mask: Plane, colour: str) -> None:
    if mask.array.any():
        lines = axes.contour(*_outlined(mask), levels=[0.5], colors=[colour], linewidths=1.6)
        lines.set_path_effects([patheffects.withStroke(linewidth=2.8, foreground="black", alpha=0.6)])


def _outlined(mask: Plane) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Columns and rows in mm and the mask, with a frame of zeros that closes contours at the picture's edge."""
    padded = np.pad(mask.array, 1).astype(float)
    rows, columns = (s * (np.arange(n) - 0.5) for n, s in zip(padded.shape, mask.spacing, strict=True))
    return columns, rows, padded
