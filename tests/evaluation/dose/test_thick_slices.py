"""Doses in shapes on slices of 3 mm, compared with those in the shapes themselves."""

import numpy as np
import pytest

from gynbtnet.evaluation.dose.dvh import dose_volume_histogram
from gynbtnet.evaluation.dose.metrics import dose_metric
from gynbtnet.imaging import Geometry, Volume

DWELLS = np.arange(-25.0, 26.0, 5.0)
"""Positions of the source in mm, along z through the origin."""
SHIFTS = ((0.0, 0.3, 0.7), (0.2, 0.9, 0.1), (0.4, 0.5, 0.5), (0.6, 0.0, 0.2), (0.8, 0.6, 0.9))
"""Positions of the slices and voxels, in slices and voxels."""
REACH = 44.0


def dose_gy(z, y, x):
    """Return the dose of sources on a line, in Gy, by the inverse square law."""
    return 300 * sum(1 / np.maximum((z - dwell) ** 2 + y**2 + x**2, 1.0) for dwell in DWELLS)


def ring(z, y, x):
    """Return whether points in mm are in a loop of bowel, 20 mm thick, that crosses the slices twice."""
    return (np.hypot(z - 40, x - 12) - 18) ** 2 + (y - 16) ** 2 <= 10**2


def round_target(z, y, x):
    return z**2 + y**2 + x**2 <= 17**2


def flat_target(z, y, x):
    return (y**2 + x**2 <= 17**2) & (np.abs(z) <= 18)


def grid_around(shape, spacing, shift=(0.0, 0.0, 0.0)):
    """Return the voxels of a shape on a grid that is moved by parts of a voxel."""
    centre = np.array([40.0, 16.0, 12.0]) if shape is ring else np.zeros(3)
    reach = np.array([30.0, 12.0, 30.0]) if shape is ring else np.full(3, 20.0)
    start = np.floor((centre - reach) / spacing) * spacing + np.asarray(shift) * spacing
    axes = [
        first + np.arange(int(2 * length / step) + 2) * step
        for first, length, step in zip(start, reach, spacing, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    mask = np.broadcast_to(shape(z, y, x), tuple(map(len, axes)))
    return mask, Geometry(mask.shape, tuple(spacing), tuple(start[::-1]))


@pytest.fixture(scope="module")
def dose() -> Volume:
    """Return the dose on a grid of 2 mm, as planning systems export it."""
    grid = Geometry((54, 38, 48), (2.0, 2.0, 2.0), (-36.0, -36.0, -36.0))
    z, y, x = (grid.origin[2 - axis] + 2.0 * np.arange(grid.shape[axis]) for axis in range(3))
    values = dose_gy(z[:, None, None], y[None, :, None], x[None, None, :])
    return Volume(values.astype(np.float32), grid)


def exact(shape, metric):
    """Return the value of a metric with the dose at the points of a grid of 0.5 mm in the shape."""
    mask, grid = grid_around(shape, np.full(3, 0.5))
    z, y, x = grid.to_world(np.argwhere(mask)).T[::-1]
    doses = np.sort(dose_gy(z, y, x))[::-1]
    volume = float(metric[1:-2]) / (0.125 / 1000) if metric.endswith("cc") else len(doses) * float(metric[1:]) / 100
    return float(np.interp(volume - 0.5, np.arange(len(doses)), doses))


@pytest.mark.parametrize(
    ("shape", "metric", "ends", "error"),
    [
        (ring, "D2cc", "half", 0.02),
        (ring, "D2cc", "none", 0.02),
        (round_target, "D90", "half", 0.02),
        (round_target, "D98", "half", 0.02),
        (round_target, "D90", "none", 0.02),
        (round_target, "D98", "none", 0.02),
        (flat_target, "D90", "half", 0.02),
        (flat_target, "D98", "half", 0.03),  # a flat end is up to half a slice beyond or before a drawn one
        (flat_target, "D90", "none", 0.02),
        (flat_target, "D98", "none", 0.03),
    ],
)
def test_doses_on_slices_of_3_mm(dose: Volume, shape, metric, ends, error) -> None:
    expected = exact(shape, metric)
    for shift in SHIFTS:
        mask, grid = grid_around(shape, np.array([3.0, 1.0, 1.0]), shift)
        value = dose_metric(metric, dose_volume_histogram(mask, grid, [dose], ends=ends))
        assert value.note == ""
        assert value.dose_gy == pytest.approx(expected, rel=error)
