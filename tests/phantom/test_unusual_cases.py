"""Synthetic scans that a model should not be used on."""

import numpy as np
import pytest

from gynbtnet.imaging import Geometry, is_metal
from gynbtnet.phantom import male_pelvis, pelvic_geometry, vaginal_cylinder
from gynbtnet.phantom.anatomy.patient import draw_fraction, draw_patient
from gynbtnet.phantom.anatomy.pelvic_organs import bladder_neck, uterine_axis
from gynbtnet.phantom.case import phantom_case

GRID = pelvic_geometry((6.0, 6.0, 6.0), (24, 32, 48))


@pytest.fixture(scope="module")
def man() -> np.ndarray:
    return male_pelvis(0, GRID).array


def hu_at(scan: np.ndarray, grid: Geometry, point: object) -> int:
    return int(scan[grid.nearest_voxel(point)])


def test_a_man_has_a_prostate_and_no_uterus(man: np.ndarray) -> None:
    patient = draw_patient(0, 0, "organs")
    fraction = draw_fraction(patient, 0)
    woman = phantom_case(0, 0, 0, GRID, "organs")
    os = uterine_axis(patient, fraction).at(4.0)[0] + fraction.setup
    below_the_bladder = np.add(bladder_neck(patient), (0, 4, -14)) + fraction.setup
    assert hu_at(man, GRID, os) < -30 < 0 < hu_at(woman.scan.array, GRID, os), "fat where the cervix would be"
    assert hu_at(man, GRID, below_the_bladder) > 0
    assert (man.min(), man.dtype) == (woman.scan.array.min(), np.int16)
    same = man == woman.scan.array
    assert 0.9 < same.mean() < 1, "the rest of the body is hers"


def test_a_cylinder_is_one_piece_in_the_vagina() -> None:
    scan = vaginal_cylinder(0, GRID).array
    patient = draw_patient(0, 0, "brachytherapy")
    metal = np.argwhere(is_metal(scan))
    x = GRID.to_world(metal)[:, 0]
    assert len(metal) and np.abs(x - np.median(x)).max() < 20
    top = uterine_axis(patient, draw_fraction(patient, 0)).os[2]
    assert GRID.to_world(metal)[:, 2].max() < top + 12, "there is no tandem in the uterus"


def test_they_are_the_same_on_every_machine(man: np.ndarray) -> None:
    assert np.array_equal(man, male_pelvis(0, GRID).array)
    assert not np.array_equal(man, male_pelvis(1, GRID).array)
