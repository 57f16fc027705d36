"""Placement of the contours of a ROI on the slices of a CT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gynbtnet.imaging.contours.contour_planes import SAME_PLANE, snap_to_planes
from gynbtnet.imaging.contours.contours_to_mask import Contour
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.rt.contour_points import encloses_area, parse_points
from gynbtnet.imaging.dicom.rt.rtstruct_rois import StoredROI
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

MAX_CONTOURS = 1_000_000
"""Maximum number of contours in a ROI; more indicates damage."""

_MAX_TILT = 0.5  # slices over which the points of one contour may spread
_MARGIN = 1.0  # voxels that a contour may reach beyond the outer faces of the scan
_ROUNDING = 0.02  # slices by which rounding moves a contour half-way between slices
_REPORTED_OFFSET_MM = 0.1  # distance from the slices above which contours get a note


@dataclass(frozen=True, eq=False)
class PlacedROI:
    """The contours of a ROI that enclose an area, with their positions along the scan.

    Attributes:
        roi_name: the ROIName.
        title: name of the ROI and its file, for messages.
        points: points of each contour, (n, 3) as (x, y, z) in mm.
        heights: position of each contour along the volume's z, in planes.
        notes: a sentence on contours that were omitted.
    """

    roi_name: str
    title: str
    points: tuple[FloatArray, ...]
    heights: FloatArray
    notes: tuple[str, ...]


def place_contours(roi: StoredROI, ct: CTSeries, path: Path) -> PlacedROI:
    """Parse the contours of a ROI and find their positions along the scan.

    Args:
        roi: the ROI as stored.
        ct: the CT on which it was drawn.
        path: its file, for messages.

    Raises:
        BadInput: If a contour is damaged, tilted against the slices, or outside the scan, or if none encloses an area.
    """
    title = f"“{roi.name}” in {path}"
    if len(roi.contours) > MAX_CONTOURS:
        raise BadInput(f"{title} has {len(roi.contours)} contours; expected at most {MAX_CONTOURS}: is it damaged?")
    parsed = [parse_points(contour, f"Contour {i} of {title}") for i, contour in enumerate(roi.contours, start=1)]
    numbers = [i for i, points in enumerate(parsed, start=1) if encloses_area(points)]
    if not numbers:
        raise BadInput(
            f"{title} has {counted(len(parsed), 'contour')}, and none encloses an area: each has fewer than three "
            "points or is a line; draw the structure again, or delete the ROI."
        )
    notes: tuple[str, ...] = ()
    if len(numbers) < len(parsed):
        note = (
            f"“{roi.name}” has {len(parsed) - len(numbers)} of {len(parsed)} contours with fewer than three points or "
            "without area. Such contours enclose nothing and were omitted."
        )
        notes = (note,)
    points = tuple(parsed[i - 1] for i in numbers)
    return PlacedROI(roi.name, title, points, _heights(points, numbers, ct, title), notes)


def align_with_slices(placed: Mapping[str, PlacedROI], ct: CTSeries) -> tuple[dict[str, PlacedROI], tuple[str, ...]]:
    """Shift contours onto the slices if all of them are off by the same distance.

    Args:
        placed: the ROI of each structure.
        ct: the CT on which they were drawn.

    Returns:
        The shifted ROIs, and a note if contours were off their slices.
    """
    heights = np.concatenate([roi.heights for roi in placed.values()])
    positions = ct.slice_positions
    aligned, shift = heights, 0.0
    if (positions == np.rint(positions)).all():
        aligned, shift = snap_to_planes(heights, ct.volume.geometry.shape[0] - 1)
    step = ct.volume.geometry.spacing[0]
    offset = np.abs(heights[:, None] - positions).min(axis=1).max() * step
    notes: tuple[str, ...] = ()
    if abs(shift) * step > _REPORTED_OFFSET_MM:
        direction = "up" if shift > 0 else "down"
        note = (
            f"All contours are {abs(shift) * step:.2f} mm off the CT's slices; all were moved {direction} along the "
            "slice normal, onto the slices."
        )
        notes = (note,)
    elif offset > _REPORTED_OFFSET_MM:
        notes = (f"Contours are up to {offset:.2f} mm off the CT's slices; each was assigned to the nearest slice.",)
    ends = np.cumsum([len(roi.heights) for roi in placed.values()])[:-1]
    parts = np.split(aligned, ends)
    return {name: replace(roi, heights=part) for (name, roi), part in zip(placed.items(), parts, strict=True)}, notes


def assign_to_slices(placed: PlacedROI, ct: CTSeries) -> tuple[list[Contour], tuple[str, ...]]:
    """Assign contours to the nearest slice positions.

    If contours at several heights are nearest to one slice, only the nearest height counts.

    Args:
        placed: contours with their heights.
        ct: the CT on which they were drawn.

    Returns:
        Flat contours, whose ``z`` is the index of the slice position, and a note on omitted contours.
    """
    heights, positions = placed.heights, ct.slice_positions
    slices = np.asarray([ct.nearest_slice(height) for height in heights])
    kept = np.zeros(len(heights), bool)
    for slice in np.unique(slices):
        on_slice = np.flatnonzero(slices == slice)
        nearest = heights[on_slice[np.abs(heights[on_slice] - positions[slice]).argmin()]]
        kept[on_slice[np.abs(heights[on_slice] - nearest) <= SAME_PLANE]] = True
    notes: tuple[str, ...] = ()
    if not kept.all():
        note = (
            f"“{placed.roi_name}” has {np.count_nonzero(~kept)} contours between slices that already have nearer "
            "contours; they were omitted."
        )
        notes = (note,)
    geometry = ct.slice_grid
    normal = np.asarray(geometry.direction).reshape(3, 3)[:, 2]
    # Copies of a contour may differ in height.
    flat = [points - np.outer((points - geometry.origin) @ normal, normal) for points in placed.points]
    return [Contour(flat[i], int(slices[i])) for i in np.flatnonzero(kept)], notes


def _heights(points: Sequence[FloatArray], numbers: Sequence[int], ct: CTSeries, title: str) -> FloatArray:
    """Return the position of each contour along the volume's z, in planes; ``numbers`` are theirs in the file.

    Raises:
        BadInput: If a contour isn't parallel to the slices, or reaches beyond the scan.
    """
    geometry = ct.volume.geometry
    ends = np.cumsum([0, *(len(contour) for contour in points)])
    index = geometry.to_index(np.concatenate(points))
    low, high = np.minimum.reduceat(index, ends[:-1]), np.maximum.reduceat(index, ends[:-1])
    middle = (low[:, 0] + high[:, 0]) / 2
    last = np.asarray(geometry.shape) - 1
    is_tilted = high[:, 0] - low[:, 0] > _MAX_TILT
    is_beyond_slices = (middle < -0.5 - _ROUNDING) | (middle > last[0] + 0.5 + _ROUNDING)
    is_outside_image = ((low < -0.5 - _MARGIN) | (high > last + 0.5 + _MARGIN))[:, 1:].any(axis=1)
    for is_wrong, sentence in (
        (is_tilted, "is not parallel to the CT's slices; expected contours drawn on this CT"),
        (is_beyond_slices, "is beyond the first or last slice of the CT; give the whole series on which it was drawn"),
        (is_outside_image, "has points outside the CT's images; expected contours drawn on this CT"),
    ):
        if is_wrong.any():
            first = int(np.flatnonzero(is_wrong)[0])
            at = ", ".join(f"{value:.2f}" for value in points[first][0])
            nearest = f"nearest to slice {ct.nearest_slice(middle[first]) + 1} of {len(ct.slice_positions)}"
            raise BadInput(f"Contour {numbers[first]} of {title}, at ({at}) mm, {nearest}, {sentence}.")
    return np.asarray(middle)
