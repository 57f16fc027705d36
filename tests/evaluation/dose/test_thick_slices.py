"""Doses in shapes on slices of 3 mm, compared with those in the shapes themselves."""

from functools import cache

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


def capsule_target(z, y, x):
    """Return whether points are in a cylinder with round ends."""
    return np.maximum(np.abs(z) - 6, 0) ** 2 + y**2 + x**2 <= 14**2


@cache
def flat_target(centre=0.0, half_length=18.0):
    """Return a cylinder with flat ends."""

    def shape(z, y, x):
        return (y**2 + x**2 <= 17**2) & (np.abs(z - centre) <= half_length + 1e-9)

    return shape


def grid_around(shape, spacing, shift):
    """Return the voxels of a shape on a grid that is moved by parts of a voxel."""
    centre = np.array([40.0, 16.0, 12.0]) if shape is ring else np.zeros(3)
    reach = np.array([30.0, 12.0, 30.0]) if shape is ring else np.array([26.0, 20.0, 20.0])
    start = np.floor((centre - reach) / spacing) * spacing + np.asarray(shift) * spacing
    axes = [
        first + np.arange(int(2 * length / step) + 2) * step
        for first, length, step in zip(start, reach, spacing, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    mask = np.broadcast_to(shape(z, y, x), tuple(map(len, axes)))
    return mask, Geometry(mask.shape, tuple(spacing), tuple(start[::-1]))


@cache
def dose() -> Volume:
    """Return the dose on a grid of 2 mm, as planning systems export it."""
    grid = Geometry((54, 38, 48), (2.0, 2.0, 2.0), (-36.0, -36.0, -36.0))
    z, y, x = (grid.origin[2 - axis] + 2.0 * np.arange(grid.shape[axis]) for axis in range(3))
    values = dose_gy(z[:, None, None], y[None, :, None], x[None, None, :])
    return Volume(values.astype(np.float32), grid)


@cache
def doses_inside(shape):
    """Return the doses at the centres of cubes of 0.5 mm in a shape, from hot to cold."""
    mask, grid = grid_around(shape, np.full(3, 0.5), np.full(3, 0.5))
    z, y, x = grid.to_world(np.argwhere(mask)).T[::-1]
    return np.sort(dose_gy(z, y, x))[::-1]


def exact(shape, metric):
    doses = doses_inside(shape)
    volume = float(metric[1:-2]) / (0.125 / 1000) if metric.endswith("cc") else len(doses) * float(metric[1:]) / 100
    return float(np.interp(volume - 0.5, np.arange(len(doses)), doses))


@cache
def histogram(shape, ends, thickness, shift):
    mask, grid = grid_around(shape, np.array([thickness, 1.0, 1.0]), shift)
    return dose_volume_histogram(mask, grid, [dose()], ends=ends)


def errors(shape, metric, ends, thickness=3.0):
    """Return the relative error of a metric for each position of the slices."""
    return [
        dose_metric(metric, histogram(shape, ends, thickness, shift)).dose_gy / exact(shape, metric) - 1
        for shift in SHIFTS
    ]


def errors_of_flat_ends(metric, ends, thickness=3.0):
    """Return the relative error for each position of a target that ends as the convention assumes."""
    beyond = {"half": 0.5, "none": 0.0}[ends]
    for along, down, right in SHIFTS:
        target = flat_target(along * thickness, round(18 / thickness) * thickness)
        value = dose_metric(metric, histogram(target, ends, thickness, (along + beyond, down, right)))
        yield value.dose_gy / exact(target, metric) - 1


@pytest.mark.parametrize("ends", ["half", "none"])
@pytest.mark.parametrize(
    ("shape", "metric"),
    [
        (ring, "D2cc"),
        (round_target, "D90"),
        (round_target, "D98"),
        (capsule_target, "D90"),
        (capsule_target, "D98"),
        (flat_target(), "D90"),
    ],
)
def test_doses_on_slices_of_3_mm(shape, metric, ends) -> None:
    assert max(map(abs, errors(shape, metric, ends))) <= 0.02


@pytest.mark.parametrize("ends", ["half", "none"])
@pytest.mark.parametrize("metric", ["D90", "D98"])
def test_a_flat_end_is_exact_where_the_convention_puts_it(metric, ends) -> None:
    assert max(map(abs, errors_of_flat_ends(metric, ends))) <= 0.015


@pytest.mark.parametrize(("ends", "sign"), [("half", -1), ("none", 1)])
def test_a_flat_end_between_two_slices_is_known_to_half_a_slice(ends, sign) -> None:
    """The largest error is that of the convention: the target is too long or too short at each end."""
    largest = max(errors(flat_target(), "D98", ends), key=abs)
    assert 0.02 < largest * sign <= 0.025
