"""A painted layer of the phantom: shape, tissue and label."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.phantom.shapes.grid_points import Bounds, GridPoints
from gynbtnet.phantom.shapes.shapes import Shape, sample
from gynbtnet.phantom.shapes.tissues import Tissue
from gynbtnet.runtime.array_types import FloatArray


@dataclass(frozen=True)
class PaintedLayer:
    """A shape with its tissue and labels, painted over all earlier layers.

    Attributes:
        shape: Shape of the layer.
        tissue: Tissue inside the shape.
        structure: One of the contoured structures, or None.
        organ: TotalSegmentator's class, or None.
        within: Another shape to which the layer is limited, ``depth`` mm below its surface.
        depth: Distance in mm below the surface of ``within``.
        outside: Another shape in which the layer is not painted.
        opacity: Share of the earlier HU that is replaced.
        overlaps: If true, the voxels of earlier structures that it covers also stay theirs; otherwise they lose them.
        clears: If true, the layer removes the labels of TotalSegmentator's classes that it covers.
        female: If true, the layer is part of an organ that men don't have.
    """

    shape: Shape
    tissue: Tissue
    structure: str | None = None
    organ: str | None = None
    within: Shape | None = None
    depth: float = 0.0
    outside: Shape | None = None
    opacity: float = 1.0
    overlaps: bool = False
    clears: bool = False
    female: bool = False

    @property
    def box(self) -> Bounds:
        """Lowest and highest corner (x, y, z) in mm."""
        return self.shape.box

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the signed distance in mm, (z, y, x)."""
        distance = self.shape.distance(points)
        if self.within is not None:
            distance = np.maximum(distance, sample(self.within, points) + self.depth)
        if self.outside is not None:
            distance = np.maximum(distance, -sample(self.outside, points))
        return distance
