"""Positions to which flags jump."""

import numpy as np
import pytest

from gynbtnet.review.flag_positions import flag_position

SHAPE = (8, 12, 10)


def two_parts() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[2:6, 3:8, 3:8] = True
    mask[7, 10:12, 8:10] = True  # the smaller part, at three edges of the scan
    return mask


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("fragmented", (7, slice(10, 12), slice(8, 10))), ("volume", (2, slice(5, 6), slice(5, 6)))],
)
def test_the_voxel_shows_what_the_flag_is_about(kind, expected) -> None:
    z, y, x = flag_position(kind, two_parts())
    where = np.zeros(SHAPE, bool)
    where[expected] = True
    assert where[z, y, x]


def test_an_edge_flag_goes_to_the_edge() -> None:
    for axis in range(3):
        for index in (0, SHAPE[axis] - 1):
            mask = np.zeros(SHAPE, bool)
            mask[2:6, 3:8, 3:8] = True
            moved = np.moveaxis(mask, axis, 0)
            moved[index, 4, 4] = True
            position = flag_position("edge", mask)
            assert position[axis] == index and mask[position]


@pytest.mark.parametrize("kind", ["missing", "fragmented", "edge", "volume", "position", "disagreement"])
def test_every_flag_has_a_position(kind) -> None:
    assert flag_position(kind, np.zeros(SHAPE, bool)) == (4, 6, 5)
    assert two_parts()[flag_position(kind, two_parts())]
