"""Shapes made of shapes: joined, dented, cut, roughened, grown."""

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
    """The smaller of two distances, rounded over where they differ by less than ``blend`` mm (quadratic)."""
    if blend == 0:
        return np.minimum(a, b)
    overlap = np.maximum(blend - np.abs(a - b), 0.0)
    return np.minimum(a, b) - overlap * overlap / (4 * blend)


@dataclass(frozen=True)
class Union:
    """Several shapes as one, their seams rounded over ``blend`` mm."""

    shapes: Sequence[Shape]
    blend: float = 0.0

    @cached_property
    def box(self) -> Bounds:
        """Lowest and highest corner."""
        return np.min([s.box[0] for s in self.shapes], axis=0), np.max([s.box[1] for s in self.shapes], axis=0)

    def distance(self, points: GridPoints) -> FloatArray:
        """Smooth minimum over the shapes."""
        result = np.full(points.shape, FAR)
        for shape in self.shapes:
            window = points.window((shape.box[0] - FAR, shape.box[1] + FAR))
            if window is not None:
                result[window] = smooth_minimum(result[window], shape.distance(points[window]), self.blend)
        return result


@dataclass(frozen=True)
class Difference:
    """A shape that yields to another one, ``gap`` mm before it."""

    shape: Shape
    cut: Shape
    gap: float = 0.0
    blend: float = 0.0

    @property
    def box(self) -> Bounds:
        """That of the uncut shape."""
        return self.shape.box

    def distance(self, points: GridPoints) -> FloatArray:
        """Smooth maximum of the shape and the outside of the cut."""
        return -smooth_minimum(-self.shape.distance(points), sample(self.cut, points) - self.gap, self.blend)


@dataclass(frozen=True)
class Clipped:
    """The part of a shape that lies within a box, lowest to highest corner (x, y, z) in mm."""

    shape: Shape
    low: npt.ArrayLike
    high: npt.ArrayLike

    @cached_property
    def box(self) -> Bounds:
        """Lowest and highest corner."""
        return np.maximum(self.shape.box[0], self.low), np.minimum(self.shape.box[1], self.high)

    def distance(self, points: GridPoints) -> FloatArray:
        """Maximum of the shape and the six faces."""
        result = self.shape.distance(points)
        for axis, low, high in zip(points.open, np.asarray(self.low, float), np.asarray(self.high, float), strict=True):
            result = np.maximum(result, np.maximum(low - axis, axis - high))
        return result


@dataclass(frozen=True)
class Noisy:
    """A shape whose surface is raised and lowered by a smooth random field."""

    shape: Shape
    texture: Texture
    amplitude: float

    @cached_property
    def box(self) -> Bounds:
        """That of the shape and what the field may add."""
        return self.shape.box[0] - 3 * self.amplitude, self.shape.box[1] + 3 * self.amplitude

    def distance(self, points: GridPoints) -> FloatArray:
        """Distance less the field, which has unit variance before ``amplitude`` mm; three of them at most."""
        return self.shape.distance(points) - self.amplitude * np.clip(self.texture(points), -3.0, 3.0)


@dataclass(frozen=True)
class Dilated:
    """A shape, ``by`` mm larger on all sides."""

    shape: Shape
    by: float

    @cached_property
    def box(self) -> Bounds:
        """That of the shape, grown."""
        return self.shape.box[0] - self.by, self.shape.box[1] + self.by

    def distance(self, points: GridPoints) -> FloatArray:
        """The shape's distance, less the growth."""
        return self.shape.distance(points) - self.by
