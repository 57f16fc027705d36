"""Synthetic scans that a model should not be used on."""

from dataclasses import replace

import numpy as np
import pytest

from gynbtnet.phantom import male_pelvis, pelvic_geometry, vaginal_cylinder
from gynbtnet.phantom.anatomy.patient import draw_fraction, draw_patient
from gynbtnet.phantom.anatomy.pelvic_organs import bladder_neck, uterine_axis, vaginal_course
from gynbtnet.phantom.case import phantom_case

GRID = pelvic_geometry((6.0, 6.0, 6.0), (24, 32, 48))


@pytest.fixture(scope="module")
def man() -> np.ndarray:
    return male_pelvis(0, GRID).array


def test_a_man_has_a_prostate_and_no_uterus(man: np.ndarray) -> None:
    """The uterus and the target of the same female phantom are fat or urine in him; the rest of the body is hers."""
    patient = draw_patient(0, 0, "organs")
    woman = phantom_case(0, 0, 0, GRID, "organs")
    womb = woman.structures.mask("uterus") | woman.structures.mask("hr_ctv")
    assert man[womb].mean() < 15 < 35 < woman.scan.array[womb].mean()
    below_the_bladder = np.add(bladder_neck(patient), (0, 4, -14)) + draw_fraction(patient, 0).setup
    assert man[GRID.nearest_voxel(below_the_bladder)] > -30
    assert man.dtype == np.int16
    changed = np.abs(man - woman.scan.array) > 100
    assert 0 < changed.mean() < 0.1


def test_a_cylinder_is_in_the_vagina_and_nothing_in_the_uterus() -> None:
    scan = vaginal_cylinder(0, GRID).array
    patient = draw_patient(0, 0, "brachytherapy")
    fraction = replace(draw_fraction(patient, 0), implant=False)
    axis = uterine_axis(patient, fraction)
    middle = vaginal_course(axis)[1] + fraction.setup
    near = [scan[GRID.nearest_voxel(middle + np.array([x, y, 0.0]))] for x in (-4, 0, 4) for y in (-4, 0, 4)]
    assert max(near) > 500, "the steel tube"
    assert 60 < scan[GRID.nearest_voxel(np.add(middle, (9.0, 0.0, 0.0)))] < 500, "plastic"
    for height in (12.0, 24.0, 36.0):
        assert scan[GRID.nearest_voxel(axis.at(height)[0] + fraction.setup)] < 200, "no tandem"


def test_they_are_the_same_on_every_machine(man: np.ndarray) -> None:
    assert np.array_equal(man, male_pelvis(0, GRID).array)
    assert not np.array_equal(man, male_pelvis(1, GRID).array)
