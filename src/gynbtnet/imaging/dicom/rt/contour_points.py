"""Points of a contour from its text in an RTSTRUCT."""

import numpy as np

from gynbtnet.imaging.dicom.rt.rtstruct_rois import StoredContour
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.errors import BadInput

MAX_POINTS = 1_000_000
"""Maximum number of points in a contour; more indicates damage."""

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_LINE_WIDTH_MM = 0.01  # a contour that is narrower everywhere is a line and encloses nothing


def parse_points(contour: StoredContour, title: str) -> FloatArray:
    """Return the points of a closed contour.

    The text is parsed here because pydicom makes an object of every number, which takes 20 times as long.

    Args:
        contour: the contour as stored.
        title: name of the contour, the start of every message.

    Returns:
        Points (n, 3), as (x, y, z) in mm.

    Raises:
        BadInput: If the contour isn't closed, has values that are not finite numbers, or a wrong number of values.
    """
    values = _parse_numbers(contour.data)
    at = f", at ({', '.join(f'{value:.2f}' for value in values[:3])}) mm," if len(values) >= 3 else ""
    if contour.geometric_type not in _CLOSED:
        raise BadInput(
            f"{title}{at} is of type {contour.geometric_type or 'unknown'}; expected CLOSED_PLANAR: close or delete it."
        )
    if not np.isfinite(values).all():
        raise BadInput(f"{title}{at} has a value that is not a finite number; export the RTSTRUCT again.")
    if len(values) % 3 or len(values) > 3 * MAX_POINTS:
        raise BadInput(
            f"{title}{at} has {len(values)} coordinates; expected three per point and at most {MAX_POINTS} points: "
            "delete it."
        )
    if contour.point_count not in ("", "0", str(len(values) // 3)):
        raise BadInput(
            f"{title}{at} declares {contour.point_count} points and has {len(values) // 3}; it is damaged: export it "
            "again."
        )
    return values.reshape(-1, 3)


def encloses_area(points: FloatArray) -> bool:
    """Check if a contour (n, 3) in mm has three points that are not on one line, and isn't a retraced line."""
    if len(points) < 3:
        return False
    from_first = points - points[0]
    farthest = from_first[np.linalg.norm(from_first, axis=1).argmax()]
    length = float(np.linalg.norm(farthest))
    is_wide = (
        length > _LINE_WIDTH_MM
        and np.linalg.norm(np.cross(from_first, farthest), axis=1).max() > _LINE_WIDTH_MM * length
    )
    return bool(is_wide) and not _is_retraced(points)


def _is_retraced(points: FloatArray) -> bool:
    """Check if a closed polygon follows each of its edges equally often in both directions and encloses nothing."""
    corners, number = np.unique(np.rint(points / _LINE_WIDTH_MM), axis=0, return_inverse=True)
    number = number.reshape(-1)
    following = np.roll(number, -1)
    moves = number != following
    forward = np.sort((number * len(corners) + following)[moves])
    backward = np.sort((following * len(corners) + number)[moves])
    return np.array_equal(forward, backward)


def _parse_numbers(text: bytes) -> FloatArray:
    """Return the decimal strings in ``text`` as numbers; a single NaN if one isn't a number."""
    if not text.strip(b" \0"):
        return np.empty(0)
    if b"_" in text:  # Python reads "1_0" as 10
        return np.asarray([np.nan])
    try:
        return np.asarray([float(value) for value in text.rstrip(b" \0").split(b"\\")])
    except ValueError:
        return np.asarray([np.nan])
