"""Metal artefacts, from the filtered back-projection of the rays that cross the applicator.

Along such rays the signal is too low (beam hardening) and too noisy (photon starvation). The loss increases with the
thickness of the body, and two metals in line lose more than twice as much. This error, as a sinogram, is back-projected
on a coarse grid.
"""

import numpy as np
from scipy import fft

from gynbtnet.phantom.anatomy.applicator import ApplicatorGeometry
from gynbtnet.phantom.anatomy.patient import Fraction, Patient
from gynbtnet.phantom.shapes.grid_points import GridPoints
from gynbtnet.phantom.shapes.shapes import Tube
from gynbtnet.runtime.array_types import FloatArray

LEVEL = 5.0
"""Distance in mm of the axial planes in which streaks are computed; they are interpolated between them."""
STEP = 3.0
"""Finest in-plane step in mm."""
VIEWS = 120
BINS = 512
"""Detector bins of 1 mm."""
BODY = (178.0, 112.0)
"""Half axes in mm of the ellipse that represents the body."""
HARDENING = 160.0
"""Loss in HU·mm per mm² of path through steel."""
STARVATION = 3000.0
"""Standard deviation in HU·mm of a ray through 6 mm of steel."""


def add_streaks(
    hu: FloatArray, points: GridPoints, applicator: ApplicatorGeometry, patient: Patient, fraction: Fraction
) -> FloatArray:
    """Return ``hu`` (z, y, x) with the artefacts of the applicator's metal, inside and outside of the body."""
    low = min(tube.box[0][2] for tube in applicator.metal) - LEVEL
    high = max(tube.box[1][2] for tube in applicator.metal) + LEVEL
    inside = np.flatnonzero((points.z > low) & (points.z < high))
    y, x = _coarse_axis(points.y), _coarse_axis(points.x)
    amount = 0.12 + 0.88 * patient.metal
    planes: dict[int, FloatArray] = {}
    streaked = hu.copy()
    for index in inside:
        below = int(np.floor(points.z[index] / LEVEL))
        for level in (below, below + 1):
            if level not in planes:
                rng = np.random.default_rng((*fraction.identity, 811, level + 1000))
                planes[level] = amount * _artefact_plane(applicator, level * LEVEL, y, x, rng)
        t = points.z[index] / LEVEL - below
        streaked[index] += _interpolate((1 - t) * planes[below] + t * planes[below + 1], y, x, points)
    return streaked


def _artefact_plane(
    applicator: ApplicatorGeometry, z: float, y: FloatArray, x: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return the artefact in one axial plane (y, x), in HU."""
    angles = np.arange(VIEWS) * np.pi / VIEWS
    offsets: FloatArray = np.arange(BINS, dtype=np.float64) - (BINS - 1) / 2
    noise = rng.standard_normal((VIEWS, BINS))
    path = np.zeros((VIEWS, BINS))
    for tube in applicator.metal:
        path += _path_lengths(tube, z, angles, offsets)
    if not path.any():
        return np.zeros((y.size, x.size))
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    body = 2 / np.sqrt((sin / BODY[0]) ** 2 + (cos / BODY[1]) ** 2)
    thickness = body / body.mean()
    error = -HARDENING * (path**2 + 14 * path * (thickness - 1)) + STARVATION * noise * (path / 6) * thickness**3
    frequency = fft.rfftfreq(BINS)
    ramp = frequency * np.cos(np.pi * frequency) ** 2
    filtered = fft.irfft(fft.rfft(error, axis=1) * ramp, n=BINS, axis=1)
    plane = np.zeros((y.size, x.size))
    for view, (c, s) in enumerate(zip(cos[:, 0], sin[:, 0], strict=True)):
        plane += np.interp(c * x[None, :] + s * y[:, None], offsets, filtered[view])
    artefact: FloatArray = np.clip(plane * np.pi / VIEWS, -600.0, 600.0)
    return artefact


def _path_lengths(tube: Tube, z: float, angles: FloatArray, offsets: FloatArray) -> FloatArray:
    """Return the length in mm (views, bins) of the rays in a tube, whose section is approximated by discs."""
    fine = np.arange(0, len(tube.path) - 1, 0.2)
    knots = np.arange(len(tube.path))
    x, y, height = (np.interp(fine, knots, tube.path[:, axis]) for axis in range(3))
    near = np.abs(height - z) < LEVEL / 2
    if not near.any():
        return np.zeros((angles.size, offsets.size))
    x, y, radius = x[near], y[near], float(tube.radii[0])
    row = float(np.hypot(np.diff(x), np.diff(y)).sum())
    share = (1 + row / (np.pi / 2 * radius)) / x.size
    along = x[None, :] * np.cos(angles)[:, None] + y[None, :] * np.sin(angles)[:, None]
    path = np.zeros((angles.size, offsets.size))
    for position in along.T:
        path += np.sqrt(np.maximum(radius**2 - (offsets[None, :] - position[:, None]) ** 2, 0.0))
    length: FloatArray = 2 * share * path
    return length


def _coarse_axis(axis: FloatArray) -> FloatArray:
    count = max(2, int(np.ceil((axis[-1] - axis[0]) / max(STEP, float(axis[1] - axis[0])))) + 1)
    return np.linspace(axis[0], axis[-1], count)


def _interpolate(plane: FloatArray, y: FloatArray, x: FloatArray, points: GridPoints) -> FloatArray:
    """Interpolate a coarse plane bilinearly at the points' (y, x)."""
    for axis, coarse, fine in ((0, y, points.y), (1, x, points.x)):
        position = np.clip((fine - coarse[0]) / (coarse[1] - coarse[0]), 0, coarse.size - 1)
        below = np.minimum(position.astype(int), coarse.size - 2)
        t = (position - below).reshape((-1, 1) if axis == 0 else (1, -1))
        plane = (1 - t) * np.take(plane, below, axis) + t * np.take(plane, below + 1, axis)
    return plane
