"""Contours that are stored more than once.

Planning systems export a contour twice on a slice, with the same corners or nearly the same: from another start, in the
other direction, with other decimals, with an extra corner. XOR would take such a pair away.
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

from gynbtnet.imaging.contours.contours_to_mask import Contour
from gynbtnet.runtime.array_types import FloatArray

COPY_DISTANCE = 0.15
"""mm between the lines of two contours up to which they are copies: a shift of 0.1 mm along both axes."""

_AT_ONCE = 2**22  # distances that are computed together, so that memory stays bounded


def drop_copies(contours: Sequence[Contour], distance: float = COPY_DISTANCE) -> tuple[list[Contour], int]:
    """Keep the first of the contours of a slice that have the same line.

    Args:
        contours: in any order.
        distance: mm between two lines up to which they are the same; less than the wall of any ring.

    Returns:
        The contours that are left, in their order, and how many copies there were. One that leads round twice counts
        as a contour and its copy.
    """
    kept: dict[tuple[int, bytes], Contour] = {}
    once = [_wound_once(contour, distance) for contour in contours]
    twice = sum(len(one.points) < len(contour.points) for one, contour in zip(once, contours, strict=True))
    for contour in once:
        kept.setdefault((contour.z, contour.points.tobytes()), contour)
    rest = list(kept.values())
    copies = np.zeros(len(rest), bool)
    if len({contour.z for contour in rest}) < len(rest):
        for first, similar in _similar_boxes(rest, distance):
            if copies[first]:
                continue
            for other in similar:
                if not copies[other] and _is_copy(rest[first].points, rest[other].points, distance):
                    copies[other] = True
    left = [contour for contour, is_copy in zip(rest, copies, strict=True) if not is_copy]
    return left, len(contours) - len(left) + twice


def _wound_once(contour: Contour, distance: float) -> Contour:
    """The contour without its second half, if that is the first half again: it was drawn round twice."""
    points = contour.points
    if len(points) % 2 and np.linalg.norm(points[0] - points[-1]) <= distance:
        points = points[:-1]
    half = len(points) // 2
    if half < 3 or len(points) % 2 or np.linalg.norm(points[:half] - points[half:], axis=1).max() > distance:
        return contour
    return _wound_once(Contour(points[:half], contour.z), distance)  # four times round is twice twice


def _similar_boxes(contours: Sequence[Contour], distance: float) -> list[tuple[int, list[int]]]:
    """For each contour the later ones of its slice whose bounding box differs by at most ``distance`` mm."""
    apart = 4 * distance  # between slices, so that contours of two of them are never similar
    boxes = np.asarray(
        [[*one.points.min(axis=0), *one.points.max(axis=0), one.z * apart] for one in contours], np.float64
    )
    found = KDTree(boxes).query_ball_point(boxes, distance, p=np.inf)
    return [(i, sorted(other for other in near if other > i)) for i, near in enumerate(found) if len(near) > 1]


def _is_copy(first: FloatArray, second: FloatArray, distance: float) -> bool:
    """Whether two closed polygons, points (n, 3) in mm, have one line within ``distance`` and enclose the same area."""
    (area, length), (other_area, other_length) = _size(first), _size(second)
    if abs(area - other_area) > distance * max(length, other_length):
        return False
    return _is_along(first, second, distance) and _is_along(second, first, distance)


def _size(points: FloatArray) -> tuple[float, float]:
    """Area in mm² and length in mm of a closed polygon."""
    following = np.roll(points, -1, axis=0)
    from_first = points - points[0]
    area = np.linalg.norm(np.cross(from_first, following - points[0]).sum(axis=0)) / 2
    return float(area), float(np.linalg.norm(following - points, axis=1).sum())


def _samples(points: FloatArray) -> FloatArray:
    """The corners and the middles of the edges of a closed polygon."""
    return np.concatenate([points, (points + np.roll(points, -1, axis=0)) / 2])


def _is_along(points: FloatArray, line: FloatArray, distance: float) -> bool:
    """Whether the corners and the middles of the edges of one closed polygon lie on another's line."""
    samples = _samples(points)
    near, _ = KDTree(_samples(line)).query(samples, distance_upper_bound=distance)
    samples = samples[~np.isfinite(near)]
    if not len(samples):
        return True
    edge = np.roll(line, -1, axis=0) - line
    squared = (edge**2).sum(axis=1)
    for some in np.array_split(samples, len(samples) * len(line) // _AT_ONCE + 1):
        along = np.einsum("pnd,nd->pn", some[:, None] - line, edge)
        share = np.divide(along, squared, out=np.zeros_like(along), where=squared > 0).clip(0, 1)
        nearest = line + share[..., None] * edge
        if (np.linalg.norm(some[:, None] - nearest, axis=-1).min(axis=1) > distance).any():
            return False
    return True
