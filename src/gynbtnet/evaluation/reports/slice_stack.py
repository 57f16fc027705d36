"""A scan's slices as small pictures, and contours on them as paths: what a page shows of a case.

A slice is WebP in the soft-tissue window, at 0.9 mm a pixel or the scan's own spacing where that is coarser; contours
are SVG path data in quarters of a millimetre from the picture's top left corner, with a point every 1.5 mm. That is for
looking: figures come from the voxels.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gynbtnet.imaging.contours.mask_to_contours import mask_to_contours
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pictures.overlays import SOFT_TISSUE_HU
from gynbtnet.pictures.planes import PlaneName

PER_MM = 4
"""Units of a path a millimetre."""
FINEST_MM = 0.9
NEAREST_MM: Mapping[PlaneName, float] = {"axial": 1.0, "coronal": 3.0, "sagittal": 3.0}
"""Slices that lie nearer to each other than this are thinned out."""
QUALITY = 40
_POINT_MM = 1.5
_FEWEST_POINTS = 8
_AXES: Mapping[PlaneName, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
"""Of an anatomical volume the axes that count slices, run down and run across a picture."""

Outlines = Mapping[str, Mapping[str, tuple[str, ...]]]
"""SVG path data by who drew it, by structure, by slice; empty text where nothing is drawn."""


@dataclass(frozen=True)
class SliceStack:
    """Slices of one plane.

    Attributes:
        plane: which.
        images: WebP, one a slice, from feet to head, anterior to posterior, or right to left.
        places: of each slice along the patient's z, y or x axis (LPS), mm.
        width: of a picture in mm.
        height: of a picture in mm.
        outlines: by who drew them and structure.
        first: number of the slice that is shown first.
    """

    plane: PlaneName
    images: tuple[bytes, ...]
    places: tuple[float, ...]
    width: float
    height: float
    outlines: Outlines
    first: int

    def only(self, place: int) -> "SliceStack":
        """The stack of one of its slices."""
        outlines = {
            who: {structure: (paths[place],) for structure, paths in drawn.items()}
            for who, drawn in self.outlines.items()
        }
        return SliceStack(
            self.plane, (self.images[place],), (self.places[place],), self.width, self.height, outlines, 0
        )


def slice_stack(
    image: Volume, drawn: Mapping[str, Segmentation], plane: PlaneName, middle: float, wanted: slice | None = None
) -> SliceStack:
    """The slices of a plane.

    Args:
        image: HU, in anatomical axes (:func:`gynbtnet.pictures.planes.as_displayed`).
        drawn: contours on its grid by who drew them.
        plane: which.
        middle: index along the plane's axis of the slice to begin with.
        wanted: which indices along the plane's axis; None: all, thinned out as ``NEAREST_MM`` says.
    """
    order = _AXES[plane]
    spacing = [image.geometry.spacing[axis] for axis in order]
    step = max(1, int(np.ceil(NEAREST_MM[plane] / spacing[0] - 1e-6)))
    chosen = np.arange(image.array.shape[order[0]])[wanted or slice(int(middle) % step, None, step)]
    array = _pictures(image.array, plane, chosen)
    rows, columns = array.shape[1:]
    grid = Geometry(array.shape, tuple(spacing))  # type: ignore[arg-type]
    finest = max(FINEST_MM, min(spacing[1:]))
    size = max(1, round(columns * spacing[2] / finest)), max(1, round(rows * spacing[1] / finest))
    world = image.geometry.to_world(np.eye(3)[order[0]] * chosen[:, None])
    return SliceStack(
        plane=plane,
        images=tuple(_webp(one, size) for one in array),
        places=tuple(float(place) for place in world[:, 2 - order[0]]),
        width=columns * spacing[2],
        height=rows * spacing[1],
        outlines={
            who: {
                structure: _paths(_pictures(segmentation.mask(structure), plane, chosen), grid)
                for structure in segmentation.structures
            }
            for who, segmentation in drawn.items()
        },
        first=int(np.abs(chosen - middle).argmin()),
    )


def _pictures(array: npt.NDArray[Any], plane: PlaneName, chosen: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Slices (n, row, column) from the top left; head at the top of a coronal or sagittal one."""
    turned: npt.NDArray[Any] = np.take(array.transpose(_AXES[plane]), chosen, axis=0)
    return turned if plane == "axial" else turned[:, ::-1]


def _webp(hu: npt.NDArray[Any], size: tuple[int, int]) -> bytes:
    low, high = SOFT_TISSUE_HU
    grey = np.clip((hu.astype(np.float32) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    picture = Image.fromarray(grey)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()


def _paths(mask: npt.NDArray[np.bool_], grid: Geometry) -> tuple[str, ...]:
    """Path data of each slice; a hole is a contour of its own, for fill-rule evenodd."""
    paths = [""] * len(mask)
    half = np.asarray(grid.spacing[:0:-1]) / 2  # the first voxel's corner is the picture's
    for contour in mask_to_contours(mask, grid):
        points = _thinned(contour.points[:, :2] + half)
        steps = np.rint(points * PER_MM).astype(int)
        first, moves = steps[0], np.diff(steps, axis=0)
        moved = moves[moves.any(axis=1)]
        if len(moved) > 1:
            paths[contour.z] += f"M{first[0]} {first[1]}l" + " ".join(f"{x} {y}" for x, y in moved.tolist()) + "z"
    return tuple(path.replace(" -", "-") for path in paths)


def _thinned(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A point every ``_POINT_MM`` of a closed line, and all points of a short one."""
    lengths = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    along = np.cumsum(lengths) - lengths
    kept = np.unique(np.searchsorted(along, np.arange(0, along[-1], _POINT_MM)))
    return points[kept] if len(kept) >= _FEWEST_POINTS else points
