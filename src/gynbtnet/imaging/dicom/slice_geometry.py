"""From the positions of DICOM slices to one regular grid."""

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

GRID_TOLERANCE = 0.1
"""mm by which a slice may lie off its plane on the fitted grid; scanners round positions to 0.1 mm."""

SHEAR_TOLERANCE = 0.5
"""mm by which slices may lie beside the line along their normal, over the whole scan; a tilted gantry gives more."""


@dataclass(frozen=True)
class SlicePlane:
    """Where one slice lies: ImagePositionPatient and ImageOrientationPatient (PS3.3 C.7.6.2.1.1), lengths in mm.

    Attributes:
        position: centre of the first voxel, (x, y, z).
        orientation: six cosines: direction of a row (increasing column), direction of a column (increasing row).
        spacing: distance between (rows, columns), DICOM's PixelSpacing.
        size: (rows, columns).
    """

    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    size: tuple[int, int]


@dataclass(frozen=True)
class Stack:
    """How slices form a volume.

    Attributes:
        geometry: the volume's regular grid; z is the normal row × column, so that it is right-handed.
        order: sorts the slices along z; the first is the lowest.
        z: of each sorted slice, in slices of the grid. Whole numbers, but where the spacing had to be evened out.
        beside: (n, 2) voxels (y, x) by which each sorted slice must move to lie behind the first; all 0 without a tilt.
        notes: what was mended, a sentence each.
    """

    geometry: Geometry
    order: npt.NDArray[np.intp]
    z: FloatArray
    beside: FloatArray
    notes: tuple[str, ...] = ()


def stack_slices(planes: Sequence[SlicePlane], where: str, repairs: Repairs, names: Sequence[str] = ()) -> Stack:
    """The volume that slices in any order form.

    Args:
        planes: of the slices.
        where: the start of every sentence about them.
        repairs: which flaws to repair instead of refusing the slices.
        names: of the slices, such as their files; for messages.

    Raises:
        BadInput: fewer than two slices, mixed size, spacing or orientation, two slices at one place; one missing,
            unequal spacing or a tilted gantry where ``repairs`` doesn't mend it.
    """
    if len(planes) < 2:
        raise BadInput(
            f"{where} has {len(planes)} slice; at least 2 are needed to make a volume: export the whole series."
        )
    _must_agree(planes, where, names)
    axes = _orthonormal(np.asarray(planes[0].orientation).reshape(2, 3), where)
    positions = np.asarray([plane.position for plane in planes])
    along = positions @ axes[2]
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    grid, spacing_notes = _spaced(along, where, repairs)
    beside, tilt_notes = _tilted((positions - positions[0]) @ axes[:2].T, along, where, repairs)
    geometry = Geometry(
        shape=(grid.count, *planes[0].size),
        spacing=(grid.step, *planes[0].spacing),
        origin=tuple(positions[0] + axes[2] * (grid.first - along[0])),
        direction=tuple(axes.T.ravel()),
    )
    return Stack(geometry, order, grid.z, beside[:, ::-1] / planes[0].spacing, (*spacing_notes, *tilt_notes))


def _must_agree(planes: Sequence[SlicePlane], where: str, names: Sequence[str]) -> None:
    """All slices have one size, spacing and orientation."""
    sizes = {plane.size for plane in planes}
    if len(sizes) > 1:
        found = " and ".join(f"{rows}×{columns}" for rows, columns in sorted(sizes))
        raise BadInput(
            f"{where} mixes slices of {found} pixels; expected one size: put each stack into its own series."
        )
    kinds: tuple[tuple[str, Any, float], ...] = (
        ("orientations", [plane.orientation for plane in planes], 1e-3),
        ("pixel spacings", [plane.spacing for plane in planes], 1e-4),
    )
    for name, values, tolerance in kinds:
        off = np.abs(np.asarray(values) - np.median(values, axis=0)).max(axis=1)
        differing, first = int((off > tolerance).sum()), int(off.argmax())
        if differing:
            named = f", such as {names[first]}" if names else ""
            raise BadInput(
                f"{where} mixes {name} ({differing} of {len(planes)} slices differ from the others{named}); expected "
                "one stack of parallel slices: put each stack into its own series."
            )


def _orthonormal(rows: FloatArray, where: str) -> FloatArray:
    """Row, column and normal as the rows of an exactly orthonormal matrix; DICOM rounds its cosines."""
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
        z: of each slice, in planes.
        count: number of planes.
    """

    first: float
    step: float
    z: FloatArray
    count: int


def _spaced(along: FloatArray, where: str, repairs: Repairs) -> tuple[_Grid, tuple[str, ...]]:
    """The grid for slices at sorted positions in mm along the normal, and notes.

    The grid is judged as a whole: every slice lies within ``GRID_TOLERANCE`` of its plane, or the spacing is unequal.
    """
    gaps = np.diff(along)
    doubled = int((gaps < GRID_TOLERANCE).sum())
    if doubled:
        at = along[1:][np.argmin(gaps)]
        raise BadInput(
            f"{where} has {doubled} slice(s) with other pixels at the position of another, first at {at:.2f} mm along "
            "the normal; expected one slice a position: separate the series."
        )
    equal = _fitted(along, np.arange(len(along), dtype=float))
    if equal is not None:
        return equal, ()
    frequent = _frequent_gaps(gaps)
    for usual in frequent:
        multiples = np.rint(gaps / usual)
        if multiples.min() >= 1 and (np.abs(gaps - multiples * usual) <= 2 * GRID_TOLERANCE).all():
            grid = _fitted(along, np.concatenate([[0], np.cumsum(multiples)]))
            if grid is not None:
                allowed = repairs.missing_slices or (repairs.unequal_spacing and usual != frequent[0])
                return grid, _lacking(along, multiples, usual, where, allowed=allowed)
    return _evened_out(along, frequent[0], where, repairs)


def _fitted(along: FloatArray, numbers: FloatArray) -> _Grid | None:
    """The grid in which slices have ``numbers``, or None if one lies over ``GRID_TOLERANCE`` from its plane on any.

    The line through the first and last slice is kept if it fits; otherwise the line with the smallest largest distance
    decides.
    """
    count = round(numbers[-1]) + 1
    step = float((along[-1] - along[0]) / numbers[-1])
    if np.abs(along[0] + step * numbers - along).max() <= GRID_TOLERANCE:
        return _Grid(float(along[0]), step, numbers, count)
    first, step, distance = _closest_line(numbers, along)
    return _Grid(first, step, numbers, count) if distance <= GRID_TOLERANCE else None


def _closest_line(x: FloatArray, y: FloatArray) -> tuple[float, float, float]:
    """Offset and slope of the line with the smallest largest distance to the points, and that distance."""
    rows = np.column_stack([np.ones_like(x), x])
    limit = -np.ones((2 * len(x), 1))
    found = linprog(
        c=[0, 0, 1],
        A_ub=np.hstack([np.vstack([rows, -rows]), limit]),
        b_ub=np.concatenate([y, -y]),
        bounds=[(None, None)] * 3,
    )
    offset, slope, distance = (float(value) for value in found.x)
    return offset, slope, distance


def _frequent_gaps(gaps: FloatArray) -> list[float]:
    """The gaps in mm that may be the usual one: the most frequent first, then others that are a quarter of all gaps.

    Of a scan in two parts, of 3 and of 6 mm, the smaller gap has a grid with all slices, although it may be the rarer.

    Gaps within ``GRID_TOLERANCE`` of each other count as equal; of equally frequent gaps the smaller comes first.
    """
    distinct = np.unique(np.round(gaps, 3))
    groups = [gaps[np.abs(gaps - gap) <= GRID_TOLERANCE + 1e-6] for gap in distinct]
    groups.sort(key=lambda group: (-len(group), group.mean()))
    return [float(group.mean()) for group in groups if group is groups[0] or len(group) >= max(2, len(gaps) / 4)]


def _lacking(along: FloatArray, multiples: FloatArray, usual: float, where: str, *, allowed: bool) -> tuple[str, ...]:
    """A note on slices that are missing; an error if they may not be interpolated, or too many in a row are missing."""
    odd = np.flatnonzero(multiples > 1)
    places = ", ".join(f"{int(multiples[i]) - 1} between {along[i]:.2f} and {along[i + 1]:.2f} mm" for i in odd[:5])
    missing = int(multiples[odd].sum()) - odd.size
    lacks = f"{missing} slice(s) ({places} along the normal; the others are {usual:.2f} mm apart)"
    if not allowed:
        raise BadInput(
            f"{where} lacks {lacks}: export the whole series, or interpolate them with --allow-missing-slices."
        )
    if multiples.max() > LONGEST_GAP + 1:
        raise BadInput(
            f"{where} lacks {lacks}; at most {LONGEST_GAP} in a row are interpolated: export the whole series."
        )
    return (f"Interpolated {lacks}.",)


def _evened_out(along: FloatArray, usual: float, where: str, repairs: Repairs) -> tuple[_Grid, tuple[str, ...]]:
    """The grid at the usual spacing that has the most slices on its planes; an error if it may not be used."""
    gaps = np.diff(along)
    offset, step, _ = _closest_line(np.arange(len(along), dtype=float), along)
    off = np.abs(offset + step * np.arange(len(along)) - along)
    unequal = (
        f"unequal slice spacing: {gaps.min():.2f} to {gaps.max():.2f} mm, up to {off.max():.2f} mm off a regular grid "
        f"at {along[off.argmax()]:.2f} mm along the normal"
    )
    if not repairs.unequal_spacing:
        raise BadInput(
            f"{where} has {unequal}; expected every slice within {GRID_TOLERANCE} mm of a regular grid: export a "
            "reconstruction with equal spacing, or interpolate slices with --allow-unequal-spacing."
        )
    if gaps.max() > (LONGEST_GAP + 1) * usual + GRID_TOLERANCE:
        raise BadInput(
            f"{where} has {unequal}; a gap of more than {LONGEST_GAP + 1} usual ones is not interpolated: export a "
            "reconstruction with equal spacing."
        )
    near = gaps[np.abs(gaps - usual) <= 2 * GRID_TOLERANCE]
    median = float(np.quantile(near, 0.5, method="lower"))  # a gap that occurs: the mean of two kinds is neither
    phase, step = max(
        ((phase, step) for step in (median, usual) for phase in along),
        key=lambda grid: np.count_nonzero(np.abs(_beside_planes(along, *grid)) <= GRID_TOLERANCE),
    )
    z = (along - phase) / step
    first, last = round(z[0]), max(round(z[-1]), round(z[0]) + 1)
    note = f"Interpolated slices every {step:.2f} mm over an {unequal}."
    return _Grid(float(phase + first * step), step, z - first, last - first + 1), (note,)


def _beside_planes(along: FloatArray, phase: float, step: float) -> FloatArray:
    """How far slices lie from the nearest plane of a grid, in mm."""
    return along - phase - step * np.rint((along - phase) / step)


def _tilted(beside: FloatArray, along: FloatArray, where: str, repairs: Repairs) -> tuple[FloatArray, tuple[str, ...]]:
    """How far each slice lies beside the first one's normal, (x, y) in mm and 0 within the tolerance; and notes."""
    if np.abs(beside).max() <= SHEAR_TOLERANCE:
        return np.zeros_like(beside), ()
    tilt = f"{np.degrees(np.arctan2(np.linalg.norm(beside[-1]), along[-1] - along[0])):.1f}°"
    if not repairs.gantry_tilt:
        raise BadInput(
            f"{where} is sheared by {tilt} (a tilted gantry); expected slices one behind the other: export it "
            "without tilt, or shift the slices with --allow-gantry-tilt."
        )
    return beside, (f"Shifted slices within their planes to undo a gantry tilt of {tilt}.",)
