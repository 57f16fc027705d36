"""Slices of a scan as small pictures, and contours on them as SVG paths, for report pages.

A slice is a WebP picture at 0.9 mm per pixel, or at the scan's own spacing if that is coarser. Its grey values are a
window of soft tissue, or :data:`WIDE_HU`, from which the viewer makes any window. Contours are SVG path data in
quarters of a millimetre from the picture's top left corner, with a point every 1.5 mm. They are for viewing only:
metrics are computed from the voxels.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gynbtnet.imaging.contours.mask_to_contours import mask_to_contours
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pictures.overlays import SOFT_TISSUE_HU
from gynbtnet.pictures.planes import PlaneName
from gynbtnet.runtime.array_types import Mask

UNITS_PER_MM = 4
"""Path units per millimetre."""
FINEST_MM = 0.9
"""Smallest pixel spacing of a picture."""
LEAST_SLICE_DISTANCE_MM: Mapping[PlaneName, float] = {"axial": 1.0, "coronal": 3.0, "sagittal": 3.0}
"""Smallest distance between slices; of slices that are closer, some are left out."""
QUALITY = 40
WIDE_QUALITY = 60
"""Quality of pictures whose contrast the viewer raises."""
WIDE_HU, WIDE_GREY = (-1000.0, -200.0, 300.0, 3000.0), (0.0, 20.0, 195.0, 255.0)
"""Grey value of a wide picture by HU, linear between these points: fine for soft tissue, coarse for air and metal."""
_POINT_MM = 1.5
_FEWEST_POINTS = 8
_AXES: Mapping[PlaneName, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
"""Axes of an anatomical volume (z, y, x) that count the slices, run down and run across a picture."""

ContourPaths = Mapping[str, Mapping[str, tuple[str, ...]]]
"""SVG path data by segmentation (reference or model), by structure, by slice; empty text if there is no contour."""


@dataclass(frozen=True)
class SliceStack:
    """Slices of one plane.

    Attributes:
        plane: axial, coronal or sagittal.
        images: one WebP picture per slice, from feet to head, anterior to posterior, or right to left.
        positions_mm: position of each slice along the patient's z, y or x axis (LPS), mm.
        width: width of a picture in mm.
        height: height of a picture in mm.
        outlines: contours by segmentation and structure.
        first: index of the slice that is shown first.
        depths_mm: distance of each slice's centre from the feet, the anterior or the right face of the volume, mm.
        is_wide: whether the grey values are those of ``WIDE_HU``; otherwise they are a window of soft tissue.
        isodoses: lines of equal dose by level, as SVG path data of each slice; empty without a dose.
    """

    plane: PlaneName
    images: tuple[bytes, ...]
    positions_mm: tuple[float, ...]
    width: float
    height: float
    outlines: ContourPaths
    first: int
    depths_mm: tuple[float, ...]
    is_wide: bool = False
    isodoses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def slice_stack(
    image: Volume,
    segmentations: Mapping[str, Segmentation],
    plane: PlaneName,
    middle: float,
    indices: slice | None = None,
    *,
    is_wide: bool = False,
    isodoses: Mapping[str, Mask] | None = None,
) -> SliceStack:
    """Return the slices of a plane with their contours.

    Args:
        image: the scan in HU, in anatomical axes (:func:`gynbtnet.pictures.planes.as_displayed`).
        segmentations: segmentations on the grid of ``image``, by name (reference or model).
        plane: axial, coronal or sagittal.
        middle: index along the plane's axis of the slice to show first.
        indices: indices along the plane's axis to include; None: all that are ``LEAST_SLICE_DISTANCE_MM`` apart.
        is_wide: keep the whole range of HU, for a viewer with several windows.
        isodoses: voxels with at least a dose, by the name of the level, on the grid of ``image``.
    """
    order = _AXES[plane]
    spacing = [image.geometry.spacing[axis] for axis in order]
    step = max(1, int(np.ceil(LEAST_SLICE_DISTANCE_MM[plane] / spacing[0] - 1e-6)))
    included = np.arange(image.array.shape[order[0]])[indices or slice(int(middle) % step, None, step)]
    array = _slices(image.array, plane, included)
    rows, columns = array.shape[1:]
    grid = Geometry(array.shape, tuple(spacing))  # type: ignore[arg-type]
    finest = max(FINEST_MM, min(spacing[1:]))
    size = max(1, round(columns * spacing[2] / finest)), max(1, round(rows * spacing[1] / finest))
    world = image.geometry.to_world(np.eye(3)[order[0]] * included[:, None])
    return SliceStack(
        plane=plane,
        images=tuple(_webp(hu, size, is_wide=is_wide) for hu in array),
        positions_mm=tuple(float(position) for position in world[:, 2 - order[0]]),
        width=columns * spacing[2],
        height=rows * spacing[1],
        outlines={
            name: {
                structure: _paths(_slices(segmentation.mask(structure), plane, included), grid)
                for structure in segmentation.structures
            }
            for name, segmentation in segmentations.items()
        },
        first=int(np.abs(included - middle).argmin()),
        depths_mm=tuple(((included + 0.5) * spacing[0]).tolist()),
        is_wide=is_wide,
        isodoses={level: _paths(_slices(mask, plane, included), grid) for level, mask in (isodoses or {}).items()},
    )


def _slices(array: npt.NDArray[Any], plane: PlaneName, indices: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Return slices (n, row, column) as displayed: the head is at the top of a coronal or sagittal slice."""
    slices: npt.NDArray[Any] = np.take(array.transpose(_AXES[plane]), indices, axis=0)
    return slices if plane == "axial" else slices[:, ::-1]


def _webp(hu: npt.NDArray[Any], size: tuple[int, int], *, is_wide: bool) -> bytes:
    points, greys = (WIDE_HU, WIDE_GREY) if is_wide else (SOFT_TISSUE_HU, (0.0, 255.0))
    grey = np.interp(hu, points, greys).astype(np.uint8)
    picture = Image.fromarray(grey)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=WIDE_QUALITY if is_wide else QUALITY, method=4)
    return buffer.getvalue()


def _paths(mask: npt.NDArray[np.bool_], grid: Geometry) -> tuple[str, ...]:
    """Return the path data of each slice; a hole is a separate contour, for fill-rule evenodd."""
    paths = [""] * len(mask)
    half = np.asarray(grid.spacing[:0:-1]) / 2  # the corner of the first voxel is the corner of the picture
    for contour in mask_to_contours(mask, grid):
        points = _thinned(contour.points[:, :2] + half)
        vertices = np.rint(points * UNITS_PER_MM).astype(int)
        first, steps = vertices[0], np.diff(vertices, axis=0)
        steps = steps[steps.any(axis=1)]
        if len(steps) > 1:
            paths[contour.z] += f"M{first[0]} {first[1]}l" + " ".join(f"{x} {y}" for x, y in steps.tolist()) + "z"
    return tuple(path.replace(" -", "-") for path in paths)


def _thinned(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a point every ``_POINT_MM`` of a closed line, and all points of a short one."""
    if len(points) < _FEWEST_POINTS:
        return points
    lengths = np.linalg.norm(np.diff(points, axis=0, append=points[:1]), axis=1)
    along = np.cumsum(lengths) - lengths
    kept = np.unique(np.searchsorted(along, np.arange(0, along[-1], _POINT_MM)))
    return points[kept] if len(kept) >= _FEWEST_POINTS else points
