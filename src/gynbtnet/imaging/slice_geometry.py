"""From the positions of DICOM slices to one regular grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.errors import BadInput
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.slice_repairs import LONGEST_GAP, Repairs

Floats = npt.NDArray[np.float64]

GAP_TOLERANCE = 0.1
"""mm by which the gap between two slices may differ from the usual one; scanners round positions to 0.1 mm."""

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
    z: Floats
    beside: Floats
    notes: tuple[str, ...] = ()


def stack_slices(planes: Sequence[SlicePlane], where: str, repairs: Repairs) -> Stack:
    """The volume that slices in any order form.

    Raises:
        BadInput: fewer than two slices, mixed size, spacing or orientation, two slices at one place; one missing,
            unequal spacing or a tilted gantry where ``repairs`` doesn't mend it. ``where`` starts the sentence.
    """
    if len(planes) < 2:
        raise BadInput(
            f"{where} has {len(planes)} slice; at least 2 are needed to make a volume: export the whole series."
        )
    _must_agree(planes, where)
    axes = _orthonormal(np.asarray(planes[0].orientation).reshape(2, 3), where)
    positions = np.asarray([plane.position for plane in planes])
    along = positions @ axes[2]
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    step, z, spacing_notes = _spaced(along, where, repairs)
    beside, tilt_notes = _tilted((positions - positions[0]) @ axes[:2].T, along, where, repairs)
    geometry = Geometry(
        shape=(round(z[-1]) + 1, *planes[0].size),
        spacing=(step, *planes[0].spacing),
        origin=tuple(positions[0]),
        direction=tuple(axes.T.ravel()),
    )
    return Stack(geometry, order, z, beside[:, ::-1] / planes[0].spacing, (*spacing_notes, *tilt_notes))


def _must_agree(planes: Sequence[SlicePlane], where: str) -> None:
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
        differing = int((np.abs(np.asarray(values) - values[0]).max(axis=1) > tolerance).sum())
        if differing:
            raise BadInput(
                f"{where} mixes {name} ({differing} of {len(planes)} slices differ from the first); "
                "expected one stack of parallel slices: put each stack into its own series."
            )


def _orthonormal(rows: Floats, where: str) -> Floats:
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


def _spaced(along: Floats, where: str, repairs: Repairs) -> tuple[float, Floats, tuple[str, ...]]:
    """Distance of the grid's slices in mm, each slice's place in slices, and notes; for sorted positions in mm."""
    gaps = np.diff(along)
    doubled = int((gaps < GAP_TOLERANCE).sum())
    if doubled:
        at = along[1:][np.argmin(gaps)]
        raise BadInput(
            f"{where} has {doubled} slice(s) with other pixels at the position of another, first at {at:.2f} mm along "
            "the normal; expected one slice a position: separate the series."
        )
    usual = float(np.median(gaps[gaps < 1.5 * gaps.min()]))
    odd = np.flatnonzero(np.abs(gaps - usual) > GAP_TOLERANCE)
    if not odd.size:
        return float((along[-1] - along[0]) / (len(along) - 1)), np.arange(len(along), dtype=float), ()
    multiples = np.rint(gaps / usual)
    if (np.abs(gaps - multiples * usual) <= GAP_TOLERANCE * multiples).all():
        places = ", ".join(f"{int(multiples[i]) - 1} between {along[i]:.2f} and {along[i + 1]:.2f} mm" for i in odd[:5])
        missing = int(multiples[odd].sum()) - odd.size
        lacks = f"{missing} slice(s) ({places} along the normal; the others are {usual:.2f} mm apart)"
        if not repairs.missing_slices:
            raise BadInput(
                f"{where} lacks {lacks}: export the whole series, or interpolate them with --allow-missing-slices."
            )
        if multiples.max() > LONGEST_GAP + 1:
            raise BadInput(
                f"{where} lacks {lacks}; at most {LONGEST_GAP} in a row are interpolated: export the whole series."
            )
        z = np.concatenate([[0], np.cumsum(multiples)])
        return float((along[-1] - along[0]) / z[-1]), z, (f"Interpolated {lacks}.",)
    unequal = (
        f"unequal slice spacing: {gaps.min():.2f} to {gaps.max():.2f} mm, first unequal between {along[odd[0]]:.2f} "
        f"and {along[odd[0] + 1]:.2f} mm along the normal"
    )
    if not repairs.unequal_spacing:
        raise BadInput(
            f"{where} has {unequal}; expected equal spacing: export a reconstruction that has it, or interpolate "
            "slices with --allow-unequal-spacing."
        )
    if gaps.max() > (LONGEST_GAP + 1) * usual:
        raise BadInput(
            f"{where} has {unequal}; a gap of more than {LONGEST_GAP + 1} usual ones is not interpolated: export a "
            "reconstruction with equal spacing."
        )
    count = max(2, round((along[-1] - along[0]) / usual) + 1)
    step = float((along[-1] - along[0]) / (count - 1))
    return step, (along - along[0]) / step, (f"Interpolated slices every {step:.2f} mm over an {unequal}.",)


def _tilted(beside: Floats, along: Floats, where: str, repairs: Repairs) -> tuple[Floats, tuple[str, ...]]:
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
