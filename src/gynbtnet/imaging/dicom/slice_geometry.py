"""Regular grid from the positions of DICOM slices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from gynbtnet.imaging.dicom.slice_repairs import LONGEST_GAP, Repairs
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.errors import BadInput

GRID_TOLERANCE_MM = 0.1
"""Maximum distance of a slice from its plane on the fitted grid; scanners round positions to 0.1 mm."""

SHEAR_TOLERANCE_MM = 0.5
"""Maximum in-plane offset of slices over the whole scan; a tilted gantry causes more."""


@dataclass(frozen=True)
class SlicePlane:
    """Position and orientation of one slice (PS3.3 C.7.6.2.1.1), lengths in mm.

    Attributes:
        position: ImagePositionPatient, the centre of the first voxel (x, y, z).
        orientation: ImageOrientationPatient, six cosines: direction of a row (increasing column), direction of a column
            (increasing row).
        spacing: PixelSpacing, distance between (rows, columns).
        size: (rows, columns).
    """

    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    size: tuple[int, int]


@dataclass(frozen=True)
class Stack:
    """Slices as a volume.

    Attributes:
        geometry: regular grid of the volume; z is the normal row × column, so that it is right-handed.
        order: indices that sort the slices along z; the first is the lowest.
        z: (n,) position of each sorted slice, in planes of the grid; whole numbers unless the spacing was repaired.
        in_plane_shift: (n, 2) shift (y, x) in voxels that aligns each sorted slice with the first; 0 without a tilt.
        notes: a sentence for each repair.
    """

    geometry: Geometry
    order: npt.NDArray[np.intp]
    z: FloatArray
    in_plane_shift: FloatArray
    notes: tuple[str, ...] = ()


def stack_slices(planes: Sequence[SlicePlane], where: str, repairs: Repairs, names: Sequence[str] = ()) -> Stack:
    """Fit a regular grid to slices in any order.

    Args:
        planes: planes of the slices.
        where: name of the series, the start of every message.
        repairs: faults that are repaired instead of refused.
        names: names of the slices for messages, such as their files.

    Raises:
        BadInput: If there are fewer than two slices, mixed sizes, spacings or orientations, or two slices at one
            position. Also if a slice is missing, the spacing unequal or the gantry tilted, unless ``repairs`` allow it.
    """
    if len(planes) < 2:
        raise BadInput(
            f"{where} has {len(planes)} slice; at least 2 are needed to make a volume: export the whole series."
        )
    _check_consistency(planes, where, names)
    axes = _orthonormal(np.asarray(planes[0].orientation).reshape(2, 3), where)
    positions = np.asarray([plane.position for plane in planes])
    along = positions @ axes[2]
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    grid, spacing_notes = _fit_regular_grid(along, where, repairs)
    offset, tilt_notes = _in_plane_offset((positions - positions[0]) @ axes[:2].T, along, where, repairs)
    geometry = Geometry(
        shape=(grid.count, *planes[0].size),
        spacing=(grid.step, *planes[0].spacing),
        origin=tuple(positions[0] + axes[2] * (grid.first - along[0])),
        direction=tuple(axes.T.ravel()),
    )
    return Stack(geometry, order, grid.z, offset[:, ::-1] / planes[0].spacing, (*spacing_notes, *tilt_notes))


def _check_consistency(planes: Sequence[SlicePlane], where: str, names: Sequence[str]) -> None:
    """Raise BadInput unless all slices have one size, spacing and orientation."""
    sizes = {plane.size for plane in planes}
    if len(sizes) > 1:
        listed = " and ".join(f"{rows}×{columns}" for rows, columns in sorted(sizes))
        raise BadInput(
            f"{where} mixes slices of {listed} pixels; expected one size: put each stack into its own series."
        )
    properties: tuple[tuple[str, Any, float], ...] = (
        ("orientations", [plane.orientation for plane in planes], 1e-3),
        ("pixel spacings", [plane.spacing for plane in planes], 1e-4),
    )
    for name, values, tolerance in properties:
        deviation = np.abs(np.asarray(values) - np.median(values, axis=0)).max(axis=1)
        differing, first = int((deviation > tolerance).sum()), int(deviation.argmax())
        if differing:
            example = f", such as {names[first]}" if names else ""
            raise BadInput(
                f"{where} mixes {name} ({differing} of {len(planes)} slices unlike the others{example}); expected "
                "one stack of parallel slices: put each stack into its own series."
            )


def _orthonormal(rows: FloatArray, where: str) -> FloatArray:
    """Return row, column and normal as an exactly orthonormal matrix, since DICOM rounds its cosines."""
    row, column = rows
    if abs(row @ column) > 1e-3 or not np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3):
        raise BadInput(
            f"{where} has an ImageOrientationPatient of {np.round(rows.ravel(), 4).tolist()}; "
            "expected two perpendicular directions of length 1: export it again."
        )
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    return np.stack([row, column, np.cross(row, column)]) + 0.0  # no negative zeros


@dataclass(frozen=True)
class _Grid:
    """Equally spaced planes along the normal.

    Attributes:
        first: position of the first plane in mm along the normal.
        step: distance of the planes in mm.
        z: position of each slice, in planes.
        count: number of planes.
    """

    first: float
    step: float
    z: FloatArray
    count: int


def _fit_regular_grid(along: FloatArray, where: str, repairs: Repairs) -> tuple[_Grid, tuple[str, ...]]:
    """Fit the grid to slices at sorted positions in mm along the normal; also return notes.

    If any slice is farther than ``GRID_TOLERANCE_MM`` from its plane, the spacing of the whole grid counts as unequal.
    """
    gaps = np.diff(along)
    doubled = int((gaps < GRID_TOLERANCE_MM).sum())
    if doubled:
        at = along[1:][np.argmin(gaps)]
        raise BadInput(
            f"{where} has {doubled} slice(s) with other pixels at the position of another, first at {at:.2f} mm along "
            "the normal; expected one slice per position: separate the series."
        )
    equal = _grid_within_tolerance(along, np.arange(len(along), dtype=float))
    if equal is not None:
        return equal, ()
    frequent = _frequent_gaps(gaps)
    for usual in frequent:
        multiples = np.rint(gaps / usual)
        if multiples.min() >= 1 and (np.abs(gaps - multiples * usual) <= 2 * GRID_TOLERANCE_MM).all():
            grid = _grid_within_tolerance(along, np.concatenate([[0], np.cumsum(multiples)]))
            if grid is not None:
                allowed = repairs.missing_slices or (repairs.unequal_spacing and usual != frequent[0])
                return grid, _missing_slices_note(along, multiples, usual, where, allowed=allowed)
    return _fit_usual_spacing(along, frequent[0], where, repairs)


def _grid_within_tolerance(along: FloatArray, numbers: FloatArray) -> _Grid | None:
    """Fit a grid in which slices have the plane ``numbers``; None if no grid is within ``GRID_TOLERANCE_MM``.

    The line through the first and last slice is used if it fits, otherwise the line with the smallest maximum distance.
    """
    count = round(numbers[-1]) + 1
    step = float((along[-1] - along[0]) / numbers[-1])
    if np.abs(along[0] + step * numbers - along).max() <= GRID_TOLERANCE_MM:
        return _Grid(float(along[0]), step, numbers, count)
    first, step, distance = _closest_line(numbers, along)
    return _Grid(first, step, numbers, count) if distance <= GRID_TOLERANCE_MM else None


def _closest_line(x: FloatArray, y: FloatArray) -> tuple[float, float, float]:
    """Return offset and slope of the line with the smallest maximum distance to the points, and this distance."""
    rows = np.column_stack([np.ones_like(x), x])
    limit = -np.ones((2 * len(x), 1))
    solution = linprog(
        c=[0, 0, 1],
        A_ub=np.hstack([np.vstack([rows, -rows]), limit]),
        b_ub=np.concatenate([y, -y]),
        bounds=[(None, None)] * 3,
    )
    offset, slope, distance = (float(value) for value in solution.x)
    return offset, slope, distance


def _frequent_gaps(gaps: FloatArray) -> list[float]:
    """Return the gaps in mm that may be the usual one.

    The most frequent gap comes first, then others that are at least a quarter of all gaps. In a scan with gaps of 3
    and 6 mm, only the smaller gap has a grid with all slices, even if it is rarer.

    Gaps within ``GRID_TOLERANCE_MM`` of each other count as equal; of equally frequent gaps the smaller comes first.
    """
    distinct = np.unique(np.round(gaps, 3))
    groups = [gaps[np.abs(gaps - gap) <= GRID_TOLERANCE_MM + 1e-6] for gap in distinct]
    groups.sort(key=lambda group: (-len(group), group.mean()))
    return [float(group.mean()) for group in groups if group is groups[0] or len(group) >= max(2, len(gaps) / 4)]


def _missing_slices_note(
    along: FloatArray, multiples: FloatArray, usual: float, where: str, *, allowed: bool
) -> tuple[str, ...]:
    """Return a note on missing slices; BadInput if interpolation isn't allowed or too many in a row are missing."""
    wide = np.flatnonzero(multiples > 1)
    gaps = ", ".join(f"{int(multiples[i]) - 1} between {along[i]:.2f} and {along[i + 1]:.2f} mm" for i in wide[:5])
    count = int(multiples[wide].sum()) - wide.size
    missing = f"{count} slice(s) ({gaps} along the normal; the others are {usual:.2f} mm apart)"
    if not allowed:
        raise BadInput(
            f"{where} lacks {missing}: export the whole series, or interpolate them with --allow-missing-slices."
        )
    if multiples.max() > LONGEST_GAP + 1:
        raise BadInput(
            f"{where} lacks {missing}; at most {LONGEST_GAP} in a row are interpolated: export the whole series."
        )
    return (f"Interpolated {missing}.",)


def _fit_usual_spacing(along: FloatArray, usual: float, where: str, repairs: Repairs) -> tuple[_Grid, tuple[str, ...]]:
    """Return the grid at the usual spacing with the most slices on its planes; BadInput if that isn't allowed."""
    gaps = np.diff(along)
    offset, step, _ = _closest_line(np.arange(len(along), dtype=float), along)
    deviation = np.abs(offset + step * np.arange(len(along)) - along)
    unequal = (
        f"unequal slice spacing: {gaps.min():.2f} to {gaps.max():.2f} mm, up to {deviation.max():.2f} mm off a regular "
        f"grid at {along[deviation.argmax()]:.2f} mm along the normal"
    )
    if not repairs.unequal_spacing:
        raise BadInput(
            f"{where} has {unequal}; expected every slice within {GRID_TOLERANCE_MM} mm of a regular grid: export a "
            "reconstruction with equal spacing, or interpolate slices with --allow-unequal-spacing."
        )
    if gaps.max() > (LONGEST_GAP + 1) * usual + GRID_TOLERANCE_MM:
        raise BadInput(
            f"{where} has {unequal}; a gap of more than {LONGEST_GAP + 1} usual ones is not interpolated: export a "
            "reconstruction with equal spacing."
        )
    near = gaps[np.abs(gaps - usual) <= 2 * GRID_TOLERANCE_MM]
    median = float(
        np.quantile(near, 0.5, method="lower")
    )  # a gap that occurs; the mean of two different gaps is neither
    phase, step = max(
        ((phase, step) for step in (median, usual) for phase in along),
        key=lambda grid: np.count_nonzero(np.abs(_distance_to_planes(along, *grid)) <= GRID_TOLERANCE_MM),
    )
    z = (along - phase) / step
    first, last = round(z[0]), max(round(z[-1]), round(z[0]) + 1)
    note = f"Interpolated slices every {step:.2f} mm over an {unequal}."
    return _Grid(float(phase + first * step), step, z - first, last - first + 1), (note,)


def _distance_to_planes(along: FloatArray, phase: float, step: float) -> FloatArray:
    """Return the distance of slices from the nearest plane of a grid, in mm."""
    return along - phase - step * np.rint((along - phase) / step)


def _in_plane_offset(
    offset: FloatArray, along: FloatArray, where: str, repairs: Repairs
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return the offset (x, y) in mm of each slice from the normal of the first, 0 within the tolerance; and notes."""
    if np.abs(offset).max() <= SHEAR_TOLERANCE_MM:
        return np.zeros_like(offset), ()
    largest = np.linalg.norm(offset, axis=1).max()
    slope, start = np.polyfit(along, offset, 1)
    if np.abs(offset - start - np.outer(along, slope)).max() > SHEAR_TOLERANCE_MM:
        if not repairs.gantry_tilt:
            raise BadInput(
                f"{where} has slices up to {largest:.1f} mm aside within their planes, not evenly as with a tilted "
                "gantry; expected slices aligned along their normal. Check the positions of its slices and export it "
                "again, or shift the slices with --allow-gantry-tilt."
            )
        return offset, (f"Shifted slices within their planes by up to {largest:.1f} mm, not evenly as by a tilt.",)
    tilt = f"{np.degrees(np.arctan2(np.linalg.norm(offset[-1]), along[-1] - along[0])):.1f}°"
    if not repairs.gantry_tilt:
        raise BadInput(
            f"{where} is sheared by {tilt} (a tilted gantry); expected slices aligned along their normal: export it "
            "without tilt, or shift the slices with --allow-gantry-tilt."
        )
    return offset, (f"Shifted slices within their planes to undo a gantry tilt of {tilt}.",)
