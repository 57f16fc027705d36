"""From the positions of DICOM slices to one regular grid."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.errors import BadInput
from gynbtnet.imaging.geometry import Geometry

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


def geometry_of_slices(planes: list[SlicePlane], where: str) -> tuple[Geometry, npt.NDArray[np.intp]]:
    """The grid that slices in any order form, and the order that sorts them along the grid's z.

    z is the normal row × column, so that the grid is right-handed; the first slice is the lowest along it.

    Raises:
        BadInput: fewer than two slices, mixed size, spacing or orientation, a slice doubled or missing, unequal
            spacing, a tilted gantry; ``where`` starts the sentence.
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
    step = _regular_step(along, where)
    beside = (positions - positions[0]) @ axes[:2].T
    if np.abs(beside).max() > SHEAR_TOLERANCE:
        tilt = np.degrees(np.arctan2(np.linalg.norm(beside[-1]), along[-1] - along[0]))
        raise BadInput(
            f"{where} is sheared by {tilt:.1f}° (a tilted gantry); expected slices one behind the other: "
            "export it resampled without tilt."
        )
    geometry = Geometry(
        shape=(len(planes), *planes[0].size),
        spacing=(step, *planes[0].spacing),
        origin=tuple(positions[0]),
        direction=tuple(axes.T.ravel()),
    )
    return geometry, order


def _must_agree(planes: list[SlicePlane], where: str) -> None:
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


def _regular_step(along: Floats, where: str) -> float:
    """The distance of neighbouring slices in mm, for sorted positions along the normal."""
    gaps = np.diff(along)
    doubled = int((gaps < GAP_TOLERANCE).sum())
    if doubled:
        at = along[1:][np.argmin(gaps)]
        raise BadInput(
            f"{where} has {doubled} slice(s) at the position of another, first at {at:.2f} mm along the "
            "normal; expected one slice a position: remove the duplicates or separate the series."
        )
    usual = float(np.median(gaps[gaps < 1.5 * gaps.min()]))
    odd = np.flatnonzero(np.abs(gaps - usual) > GAP_TOLERANCE)
    multiples = np.rint(gaps / usual)
    if odd.size and (np.abs(gaps - multiples * usual) <= GAP_TOLERANCE * multiples).all():
        places = ", ".join(f"{int(multiples[i]) - 1} between {along[i]:.2f} and {along[i + 1]:.2f} mm" for i in odd[:5])
        missing = int(multiples[odd].sum()) - odd.size
        raise BadInput(
            f"{where} lacks {missing} slice(s) ({places} along the normal; the others are {usual:.2f} mm "
            "apart): export the whole series."
        )
    if odd.size:
        raise BadInput(
            f"{where} has unequal slice spacing: {gaps.min():.2f} to {gaps.max():.2f} mm, first unequal "
            f"between {along[odd[0]]:.2f} and {along[odd[0] + 1]:.2f} mm along the normal; expected equal spacing: "
            "export a reconstruction with equal spacing."
        )
    return float((along[-1] - along[0]) / (len(along) - 1))
