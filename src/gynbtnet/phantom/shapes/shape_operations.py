"""Operations on shapes: union, intersection, difference, clipping, noise, dilation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gynbtnet.phantom.shapes.grid_points import Bounds, GridPoints
from gynbtnet.phantom.shapes.shapes import FAR, Shape, sample
from gynbtnet.phantom.shapes.texture import Texture
from gynbtnet.runtime.array_types import FloatArray


def smooth_minimum(a: FloatArray, b: FloatArray, blend: float) -> FloatArray:
    """Return the smaller of two distances, rounded quadratically if they differ by less than ``blend`` mm."""
    if blend == 0:
        return np.minimum(a, b)
    overlap = np.maximum(blend - np.abs(a - b), 0.0)
    return np.minimum(a, b) - overlap * overlap / (4 * blend)


@dataclass(frozen=True)
class Union:
    """The union of several shapes, with seams rounded over ``blend`` mm."""

    shapes: Sequence[Shape]
    blend: float = 0.0

    @cached_property
    def box(self) -> Bounds:
        """Lowest and highest corner."""
        return np.min([s.box[0] for s in self.shapes], axis=0), np.max([s.box[1] for s in self.shapes], axis=0)

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the smooth minimum of the distances."""
        result = np.full(points.shape, FAR)
        for shape in self.shapes:
            window = points.window((shape.box[0] - FAR, shape.box[1] + FAR))
            if window is not None:
                result[window] = smooth_minimum(result[window], shape.distance(points[window]), self.blend)
        return result


@dataclass(frozen=True)
class Intersection:
    """The part of a shape inside another one, at least ``depth`` mm below its surface."""

    shape: Shape
    within: Shape
    depth: float = 0.0

    @cached_property
    def box(self) -> Bounds:
        """Lowest and highest corner."""
        low, high = self.within.box
        return np.maximum(self.shape.box[0], low), np.minimum(self.shape.box[1], high)

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the maximum of the shape's distance and that of the other one, shifted by ``depth``."""
        return np.maximum(self.shape.distance(points), sample(self.within, points) + self.depth)


@dataclass(frozen=True)
class Difference:
    """A shape without another one, at a distance of ``gap`` mm from it."""

    shape: Shape
    cut: Shape
    gap: float = 0.0
    blend: float = 0.0

    @property
    def box(self) -> Bounds:
        """Box of the uncut shape."""
        return self.shape.box

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the smooth maximum of the shape's distance and the negative one of the cut."""
        return -smooth_minimum(-self.shape.distance(points), sample(self.cut, points) - self.gap, self.blend)


@dataclass(frozen=True)
class Clipped:
    """The part of a shape in a box, from lowest to highest corner (x, y, z) in mm."""

    shape: Shape
    low: npt.ArrayLike
    high: npt.ArrayLike

    @cached_property
    def box(self) -> Bounds:
        """Lowest and highest corner."""
        return np.maximum(self.shape.box[0], self.low), np.minimum(self.shape.box[1], self.high)

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the maximum of the distances of the shape and the six faces."""
        result = self.shape.distance(points)
        for axis, low, high in zip(points.open, np.asarray(self.low, float), np.asarray(self.high, float), strict=True):
            result = np.maximum(result, np.maximum(low - axis, axis - high))
        return result


@dataclass(frozen=True)
class Noisy:
    """A shape with a smooth random field added to its surface."""

    shape: Shape
    texture: Texture
    amplitude: float

    @cached_property
    def box(self) -> Bounds:
        """Box of the shape, with a margin for the field."""
        return self.shape.box[0] - 3 * self.amplitude, self.shape.box[1] + 3 * self.amplitude

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the distance minus the field, whose standard deviation is ``amplitude`` mm, at most three of them."""
        return self.shape.distance(points) - self.amplitude * np.clip(self.texture(points), -3.0, 3.0)


@dataclass(frozen=True)
class Dilated:
    """A shape that is enlarged by ``by`` mm on all sides."""

    shape: Shape
    by: float

    @cached_property
    def box(self) -> Bounds:
        """Box of the shape, enlarged."""
        return self.shape.box[0] - self.by, self.shape.box[1] + self.by

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the shape's distance minus ``by``."""
        return self.shape.distance(points) - self.by
