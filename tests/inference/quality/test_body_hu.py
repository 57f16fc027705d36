"""HU of the body against means and deviations worked by hand, in a bar of known values."""

import numpy as np
import pytest

from gynbtnet.imaging import Geometry, Volume
from gynbtnet.inference.quality.body_hu import BodyHU, body_hu

GRID = Geometry((10, 40, 50), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
BAR = (slice(None), slice(10, 30), slice(10, 40))
"""A bar of 20 by 30 voxels, 80 mm by 120 mm, through all slices; the body mask rounds its edges off."""
LEFT, RIGHT = (slice(None), slice(10, 30), slice(10, 25)), (slice(None), slice(10, 30), slice(25, 40))


def bar(hu: float = 40) -> np.ndarray:
    scan = np.full(GRID.shape, -1000.0)
    scan[BAR] = hu
    return scan


def measure(scan: np.ndarray, grid: Geometry = GRID) -> BodyHU | None:
    return body_hu([Volume(scan, grid)], ["CT"])


def test_two_halves() -> None:
    """Equal halves of 0 and 100 HU: both the mean and the SD are 50, with any rounding of the edges."""
    scan = bar(0)
    scan[RIGHT] = 100
    assert measure(scan) == BodyHU(50, 50)


def test_air_around_table_and_cable_do_not_count() -> None:
    scan = bar()
    scan[:, 34:36] = 200  # a table of 8 mm
    scan[:, 3:6, 3:6] = 3000  # a cable of 12 mm
    assert measure(scan) == BodyHU(40, 0)


def test_gas_inside_counts() -> None:
    """Gas in 100 voxels of each slice: n voxels of 40 HU and 100 of −1000, in which n is counted without gas."""
    without = measure(bar())
    assert without == BodyHU(40, 0)
    scan = bar()
    scan[:, 15:25, 20:30] = -1000
    found = measure(scan)
    assert found is not None
    share = (40 - found.mean) / 1040  # of the body; a corner lacks at most 3 by 3 voxels
    assert 100 / (20 * 30) <= share <= 100 / (20 * 30 - 4 * 9)
    assert found.sd == pytest.approx(1040 * np.sqrt(share * (1 - share)), abs=0.02)


def test_metal_counts_as_3000_hu() -> None:
    scan = bar(0)
    scan[:, 10:30, 20:30] = 30_000  # the middle third, which reaches the edge; the corners are in the others
    found = measure(scan)
    assert found is not None
    share = found.mean / 3000
    assert 200 / 600 <= share <= 200 / (600 - 4 * 9)
    assert found.sd == pytest.approx(3000 * np.sqrt(share * (1 - share)), abs=0.02)


def test_noise_of_fine_voxels_is_averaged() -> None:
    """A checkerboard of ±80 HU in voxels of 2 mm has no SD in blocks of 4 mm."""
    fine = np.repeat(np.repeat(np.repeat(bar(), 2, 0), 2, 1), 2, 2)
    board = np.where(np.indices(fine.shape).sum(0) % 2, 80, -80)
    grid = Geometry(fine.shape, (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    assert measure(np.where(fine > -1000, fine + board, fine), grid) == BodyHU(40, 0)


def test_the_direction_of_the_axes_has_no_effect() -> None:
    random = np.random.default_rng(0)
    scan = np.where(bar() > -1000, random.normal(40, 30, GRID.shape), -1000)
    flipped = Geometry(GRID.shape, GRID.spacing, (0.0, 0.0, 0.0), (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    found = measure(scan)
    assert found is not None and 25 < found.sd < 35
    assert measure(scan[:, ::-1, ::-1], flipped) == found


def test_unknown_without_a_ct_or_a_body() -> None:
    assert body_hu([Volume(bar(), GRID)], ["MR"]) is None
    assert measure(np.full(GRID.shape, -1000.0)) is None
    thin = np.full(GRID.shape, -1000.0)
    thin[:, 20:22] = 200
    assert measure(thin) is None, "a table alone is no body"
    assert body_hu([Volume(bar(), GRID), Volume(bar(), GRID)], ["ct", "MR"]) == BodyHU(40, 0), "the first channel"
