"""Distances in mm between the surface meshes of two masks, weighted by area.

The surface runs between voxel centres. Each cell of 2 × 2 × 2 voxels that it crosses has a surface element, with the
area of the triangles of marching cubes (Lorensen and Cline 1987), whose corners are half-way between voxel centres. A
distance is measured between the centres of such cells, which are the corners of voxels. This is the definition of
DeepMind's surface-distance (Nikolov et al. 2021, doi 10.2196/26151).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import edt
import numpy as np

from gynbtnet.evaluation.metrics.surface_distance import ROUNDING_MM
from gynbtnet.runtime.array_types import FloatArray, IntArray, Mask, Spacing

_CORNERS = tuple(product((0, 1), repeat=3))
_SHARE = 0.95  # of the area, up to the 95th percentile

Corner = tuple[int, ...]
Edge = frozenset[Corner]


@dataclass(frozen=True)
class MeshDistances:
    """Distances between the surface meshes of two masks, none empty, ascending.

    Attributes:
        from_truth: distance from each surface element of the truth to the nearest one of the prediction, mm.
        from_prediction: distance from each surface element of the prediction to the nearest one of the truth, mm.
        truth_areas: area of each surface element of the truth, mm².
        prediction_areas: area of each surface element of the prediction, mm².
    """

    from_truth: FloatArray
    from_prediction: FloatArray
    truth_areas: FloatArray
    prediction_areas: FloatArray

    @property
    def hd95(self) -> float:
        """Larger of the two directed distances that 95 % of the area don't exceed, in mm."""
        return max(
            _distance_of_share(self.from_truth, self.truth_areas),
            _distance_of_share(self.from_prediction, self.prediction_areas),
        )

    @property
    def asd(self) -> float:
        """Mean over the area of both surfaces, in mm."""
        total = self.from_truth @ self.truth_areas + self.from_prediction @ self.prediction_areas
        return float(total / (self.truth_areas.sum() + self.prediction_areas.sum()))

    @property
    def hausdorff(self) -> float:
        """Largest distance, in mm."""
        return float(max(self.from_truth[-1], self.from_prediction[-1]))

    def surface_dsc(self, tolerance_mm: float) -> float:
        """Return the share of the area of both surfaces within the tolerance of the other surface, 0 to 1."""
        near = sum(
            float(areas[distances <= tolerance_mm + ROUNDING_MM].sum())
            for distances, areas in (
                (self.from_truth, self.truth_areas),
                (self.from_prediction, self.prediction_areas),
            )
        )
        return near / float(self.truth_areas.sum() + self.prediction_areas.sum())


def mesh_distances(truth: Mask, prediction: Mask, spacing: Spacing) -> MeshDistances:
    """Compute the distances between the surface meshes of two masks.

    Cropping both masks to one box that contains both does not change the result.

    Args:
        truth: mask (z, y, x), not empty.
        prediction: mask (z, y, x) on the same grid, not empty.
        spacing: voxel spacing (z, y, x) in mm.

    Returns:
        The distances in both directions.

    Raises:
        ValueError: If a mask is empty.
    """
    if not truth.any() or not prediction.any():
        raise ValueError("an empty mask has no surface")
    areas = element_areas(spacing)
    codes = [cell_codes(mask) for mask in (truth, prediction)]
    surfaces = [areas[code] > 0 for code in codes]
    distances = []
    for code, surface, other in zip(codes, surfaces, reversed(surfaces), strict=True):
        to_other = edt.edt(np.ascontiguousarray(~other), anisotropy=spacing, parallel=1)[surface].astype(np.float64)
        order = np.argsort(to_other, kind="stable")
        distances.append((to_other[order], areas[code[surface]][order]))
    (from_truth, truth_areas), (from_prediction, prediction_areas) = distances
    return MeshDistances(from_truth, from_prediction, truth_areas, prediction_areas)


def worst_mesh_distance(mask: Mask, spacing: Spacing, lower: tuple[int, ...], shape: tuple[int, ...]) -> float:
    """Return the largest distance in mm from a surface element of ``mask`` to any corner of the scan's voxels.

    Args:
        mask: box of the grid (z, y, x), not empty.
        spacing: voxel spacing (z, y, x) in mm.
        lower: index (z, y, x) of the box's first voxel on the grid.
        shape: shape of the grid.
    """
    codes = cell_codes(mask)
    corners = np.argwhere((codes > 0) & (codes < 255)) + np.asarray(lower)
    farthest = np.maximum(corners, np.asarray(shape) - corners) * np.asarray(spacing)
    return float(np.linalg.norm(farthest, axis=1).max())


def cell_codes(mask: Mask) -> IntArray:
    """Return which of the eight voxels of each cell are inside, as bits.

    Args:
        mask: the mask (z, y, x); beyond its grid is outside.

    Returns:
        Numbers from 0 to 255, one voxel more than the mask along each axis. Bit i is the voxel at the i-th corner.
    """
    padded = np.pad(mask, 1).astype(np.int64)
    size = [length + 1 for length in mask.shape]
    windows = (
        padded[tuple(slice(start, start + length) for start, length in zip(corner, size, strict=True))] << bit
        for bit, corner in enumerate(_CORNERS)
    )
    return np.asarray(sum(windows))


@lru_cache(maxsize=16)
def element_areas(spacing: Spacing) -> FloatArray:
    """Return the area in mm² of the surface in a cell, by its code (256,)."""
    step = np.asarray(spacing)
    normal_scale = np.array([step[1] * step[2], step[0] * step[2], step[0] * step[1]])
    areas = np.array([np.linalg.norm(normals * normal_scale, axis=1).sum() for normals in _triangle_normals()])
    areas.setflags(write=False)
    return areas


@lru_cache(maxsize=1)
def _triangle_normals() -> tuple[FloatArray, ...]:
    """Return the triangles of each code as normals (n, 3) in (z, y, x), as long as the areas on a cell of 1 mm."""
    return tuple(_normals_of(code) for code in range(256))


def _normals_of(code: int) -> FloatArray:
    inside = {corner: bool(code >> bit & 1) for bit, corner in enumerate(_CORNERS)}
    normals = [_fan(np.array([np.mean(list(edge), axis=0) for edge in polygon])) for polygon in _polygons(inside)]
    return np.concatenate(normals) if normals else np.zeros((0, 3))


def _fan(polygon: FloatArray) -> FloatArray:
    """Return the normals of the triangles of a polygon; of all fans, the one with the largest area."""
    fans = []
    for start in range(len(polygon)):
        spokes = np.roll(polygon, -start, axis=0)[1:] - polygon[start]
        fans.append(np.cross(spokes[:-1], spokes[1:]) / 2)
    areas = [round(float(np.linalg.norm(fan, axis=1).sum()), 6) for fan in fans]
    return np.asarray(fans[int(np.argmax(areas))])


def _polygons(inside: Mapping[Corner, bool]) -> list[list[Edge]]:
    """Return the polygons that separate the inner from the outer corners of a cell, as the edges that they cross."""
    links: dict[Edge, list[Edge]] = {}
    for ring in _faces():
        for first, second in _segments(ring, inside):
            links.setdefault(first, []).append(second)
            links.setdefault(second, []).append(first)
    polygons = []
    left = dict.fromkeys(links)
    while left:
        polygon = [next(iter(left))]
        while (following := next((edge for edge in links[polygon[-1]] if edge not in polygon), None)) is not None:
            polygon.append(following)
        left = {edge: None for edge in left if edge not in polygon}
        polygons.append(polygon)
    return polygons


def _faces() -> list[list[Corner]]:
    """Return the corners of each face of a cell, in their order round the face."""
    faces = []
    for axis, side in product(range(3), (0, 1)):
        ring = []
        for first, second in ((0, 0), (0, 1), (1, 1), (1, 0)):
            corner = [first, second]
            corner.insert(axis, side)
            ring.append(tuple(corner))
        faces.append(ring)
    return faces


def _segments(ring: Sequence[Corner], inside: Mapping[Corner, bool]) -> list[tuple[Edge, Edge]]:
    """Return the pairs of edges of a face that the surface joins.

    If two opposite corners are inside, the two of the rarer kind of the whole cell are cut off.
    """
    edges = [frozenset((corner, ring[(index + 1) % 4])) for index, corner in enumerate(ring)]
    crossed = [edge for edge in edges if len({inside[corner] for corner in edge}) == 2]
    if len(crossed) < 4:
        return [(crossed[0], crossed[1])] if crossed else []
    rarer = sum(inside.values()) <= 4
    return [(edges[index - 1], edges[index]) for index, corner in enumerate(ring) if inside[corner] == rarer]


def _distance_of_share(distances: FloatArray, areas: FloatArray) -> float:
    """Return the smallest distance that 95 % of the area don't exceed."""
    shares = np.cumsum(areas) / areas.sum()
    return float(distances[min(int(np.searchsorted(shares, _SHARE)), len(distances) - 1)])
