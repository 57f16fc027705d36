"""Removal of contours that are stored more than once.

Planning systems sometimes export a contour twice on a slice, with the same corners or nearly the same. The copy may
begin at another corner, run in the other direction, have other decimals or an extra corner. XOR would remove both.
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

from gynbtnet.imaging.contours.contours_to_mask import Contour
from gynbtnet.runtime.array_types import FloatArray

COPY_DISTANCE = 0.15
"""Largest distance in mm between the lines of two contours that are copies: a shift of 0.1 mm along both axes."""

_AT_ONCE = 2**22  # distances that are computed together, to limit memory


def drop_copies(contours: Sequence[Contour], distance: float = COPY_DISTANCE) -> tuple[list[Contour], int]:
    """Keep only the first of several contours on a slice that follow the same line.

    Args:
        contours: contours of a structure, in any order.
        distance: largest distance in mm between two lines that count as the same; less than the wall of any ring.

    Returns:
        The remaining contours, in their order, and the number of copies. A contour that is traced twice counts as a
        contour and its copy.
    """
    kept: dict[tuple[int, bytes], Contour] = {}
    once = [_traced_once(contour, distance) for contour in contours]
    twice = sum(len(single.points) < len(contour.points) for single, contour in zip(once, contours, strict=True))
    for contour in once:
        kept.setdefault((contour.z, contour.points.tobytes()), contour)
    distinct = list(kept.values())
    copies = np.zeros(len(distinct), bool)
    if len({contour.z for contour in distinct}) < len(distinct):
        for first, similar in _similar_boxes(distinct, distance):
            if copies[first]:
                continue
            for other in similar:
                if not copies[other] and _is_copy(distinct[first].points, distinct[other].points, distance):
                    copies[other] = True
    remaining = [contour for contour, is_copy in zip(distinct, copies, strict=True) if not is_copy]
    return remaining, len(contours) - len(remaining) + twice


def _traced_once(contour: Contour, distance: float) -> Contour:
    """Return the contour without its second half if that repeats the first half."""
    points = contour.points
    if len(points) % 2 and np.linalg.norm(points[0] - points[-1]) <= distance:
        points = points[:-1]
    half = len(points) // 2
    if half < 3 or len(points) % 2 or np.linalg.norm(points[:half] - points[half:], axis=1).max() > distance:
        return contour
    return _traced_once(Contour(points[:half], contour.z), distance)  # it may be traced four times


def _similar_boxes(contours: Sequence[Contour], distance: float) -> list[tuple[int, list[int]]]:
    """Find, for each contour, the later ones of its slice with the same bounding box to within ``distance`` mm."""
    slice_step = 4 * distance  # contours of different slices are never similar
    boxes = np.asarray(
        [[*each.points.min(axis=0), *each.points.max(axis=0), each.z * slice_step] for each in contours], np.float64
    )
    neighbours = KDTree(boxes).query_ball_point(boxes, distance, p=np.inf)
    return [(i, sorted(other for other in near if other > i)) for i, near in enumerate(neighbours) if len(near) > 1]


def _is_copy(first: FloatArray, second: FloatArray, distance: float) -> bool:
    """Return True if two closed polygons, points (n, 3) in mm, follow one line and enclose the same area."""
    (area, length), (other_area, other_length) = _size(first), _size(second)
    if abs(area - other_area) > distance * max(length, other_length):
        return False
    return _is_along(first, second, distance) and _is_along(second, first, distance)


def _size(points: FloatArray) -> tuple[float, float]:
    """Return area in mm² and length in mm of a closed polygon."""
    following = np.roll(points, -1, axis=0)
    from_first = points - points[0]
    area = np.linalg.norm(np.cross(from_first, following - points[0]).sum(axis=0)) / 2
    return float(area), float(np.linalg.norm(following - points, axis=1).sum())


def _samples(points: FloatArray) -> FloatArray:
    """Return corners and edge midpoints of a closed polygon."""
    return np.concatenate([points, (points + np.roll(points, -1, axis=0)) / 2])


def _is_along(points: FloatArray, line: FloatArray, distance: float) -> bool:
    """Return True if corners and edge midpoints of one closed polygon are on another's line."""
    samples = _samples(points)
    near, _ = KDTree(_samples(line)).query(samples, distance_upper_bound=distance)
    samples = samples[~np.isfinite(near)]
    if not len(samples):
        return True
    edge = np.roll(line, -1, axis=0) - line
    squared = (edge**2).sum(axis=1)
    for batch in np.array_split(samples, len(samples) * len(line) // _AT_ONCE + 1):
        along = np.einsum("pnd,nd->pn", batch[:, None] - line, edge)
        share = np.divide(along, squared, out=np.zeros_like(along), where=squared > 0).clip(0, 1)
        nearest = line + share[..., None] * edge
        if (np.linalg.norm(batch[:, None] - nearest, axis=-1).min(axis=1) > distance).any():
            return False
    return True
