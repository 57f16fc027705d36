"""One thing in the picture."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.phantom.shapes.grid_points import Bounds, GridPoints
from gynbtnet.phantom.shapes.shapes import Shape, sample
from gynbtnet.phantom.shapes.tissues import Tissue
from gynbtnet.runtime.array_types import FloatArray


@dataclass(frozen=True)
class PaintedLayer:
    """A shape, its tissue, and what a contour calls it; painted over all that came before.

    Attributes:
        shape: where.
        tissue: what.
        structure: one of the five structures, or none.
        organ: TotalSegmentator's class, or none.
        within: only inside this other shape, ``depth`` mm below its surface.
        outside: only outside this other shape.
        opacity: share of what was there before that is replaced.
    """

    shape: Shape
    tissue: Tissue
    structure: str | None = None
    organ: str | None = None
    within: Shape | None = None
    depth: float = 0.0
    outside: Shape | None = None
    opacity: float = 1.0

    @property
    def box(self) -> Bounds:
        """Lowest and highest corner (x, y, z) in mm."""
        return self.shape.box

    def distance(self, points: GridPoints) -> FloatArray:
        """Signed distance in mm, (z, y, x)."""
        found = self.shape.distance(points)
        if self.within is not None:
            found = np.maximum(found, sample(self.within, points) + self.depth)
        if self.outside is not None:
            found = np.maximum(found, -sample(self.outside, points))
        return found
