"""Axes of the patient as nnU-Net numbers them."""

import pytest

from gynbtnet.baselines.nnunet_mirroring import axes_within, nnunet_axes, trainable_axes
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.imaging import Geometry

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
UPSIDE_DOWN = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
SAGITTAL = (
    0.0,
    0.0,
    1.0,
    1.0,
    0.0,
    0.0,
    0.0,
    1.0,
    0.0,
)  # slices run to the left, rows to the feet or head, columns to the back


def grid(direction: tuple[float, ...]) -> Geometry:
    return Geometry((8, 8, 8), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), direction)


@pytest.mark.parametrize(
    ("axes", "directions", "transpose", "expected"),
    [
        (("x",), [AXIAL], [0, 1, 2], (2,)),
        (("x",), [UPSIDE_DOWN], [0, 1, 2], (2,)),
        (("x",), [AXIAL], [2, 0, 1], (0,)),  # the planner put x first
        (("z", "y"), [AXIAL], [2, 0, 1], (1, 2)),
        (("x",), [SAGITTAL], [0, 1, 2], (0,)),
        (("z",), [SAGITTAL], [0, 1, 2], (1,)),
        (("x",), [AXIAL, SAGITTAL], [0, 1, 2], ()),  # no axis of the files is x in both
        (("z", "y", "x"), [AXIAL, SAGITTAL], [0, 1, 2], (0, 1, 2)),
        ((), [AXIAL], [0, 1, 2], ()),
    ],
)
def test_axes_of_its_arrays(axes, directions, transpose, expected):
    assert nnunet_axes(axes, [grid(direction) for direction in directions], transpose) == expected


@pytest.mark.parametrize(
    ("directions", "transpose", "own", "expected"),
    [
        ([AXIAL], [0, 1, 2], (), ()),  # nnUNetTrainerNoMirroring
        ([AXIAL], [0, 1, 2], (0, 1), ("z", "y")),  # nnUNetTrainer_onlyMirror01
        ([AXIAL], [2, 0, 1], (0, 1), ("z", "x")),
        ([SAGITTAL], [0, 1, 2], (0,), ("x",)),
        ([AXIAL, SAGITTAL], [0, 1, 2], (0, 1, 2), ("z", "y", "x")),
        ([AXIAL, SAGITTAL], [0, 1, 2], (0, 1), ("z",)),
    ],
)
def test_patient_axes_that_a_trainer_mirrors(directions, transpose, own, expected):
    geometries = [grid(direction) for direction in directions]
    assert axes_within(("z", "y", "x"), geometries, transpose, own) == expected


def test_x_is_left_out_if_structures_have_sides():
    assert trainable_axes(("z", "x"), ("bladder", "hip_left", "hip_right")) == ("z",)
    assert trainable_axes(("z", "x"), ("bladder",)) == ("z", "x")
    assert NnUNetSettings().mirror_axes == ("z", "y", "x")
