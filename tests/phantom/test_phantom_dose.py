"""The source model against the inverse square law, and the plan against its prescription."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.phantom.anatomy.patient import draw_fraction, draw_patient
from gynbtnet.phantom.case import pelvic_geometry, phantom_case
from gynbtnet.phantom.dose import PRESCRIBED, dose_rate, plan_dose, points_a
from gynbtnet.phantom.rendering.scene import build_scene
from gynbtnet.phantom.shapes.grid_points import GridPoints


@settings(max_examples=20, deadline=None)
@given(st.floats(3, 40))
def test_one_source_follows_the_inverse_square(r: float) -> None:
    at = GridPoints(np.asarray([0.0]), np.asarray([0.0]), np.asarray([r, 2 * r]))
    near, far = dose_rate(np.zeros((1, 3)), np.ones(1), at)[0, 0]
    assert near / far == pytest.approx(4, rel=0.09)  # the rest is attenuation
    assert near == pytest.approx(1 / r**2, rel=0.02)


def test_point_a_gets_the_prescribed_dose_and_dose_falls_with_distance() -> None:
    patient = draw_patient(3, 0, "brachytherapy")
    fraction = replace(draw_fraction(patient, 0), setup=np.zeros(3))
    scene = build_scene(patient, fraction)
    assert scene.applicator is not None
    left, right = points_a(scene.axis)
    assert np.linalg.norm(left - right) == pytest.approx(40)
    geometry = pelvic_geometry((2.0, 2.0, 2.0), (80, 100, 120))
    dose = plan_dose(scene.applicator, scene.axis, geometry, fraction.setup)
    assert dose.geometry.shape == geometry.shape
    doses = [dose.array[tuple(np.rint(dose.geometry.to_index(p)).astype(int))] for p in (left, right)]
    assert np.mean(doses) == pytest.approx(PRESCRIBED, rel=0.1)
    sideways = [
        dose.array[tuple(np.rint(dose.geometry.to_index(np.add(left, (d, 0, 0)))).astype(int))]
        for d in (0, 10, 20, 40, 60)
    ]
    assert np.all(np.diff(sideways) < 0)


def test_a_fine_scan_has_a_dose_grid_of_two_millimetres_over_the_same_box() -> None:
    case = phantom_case(3, 1, 0, pelvic_geometry((2.0, 1.0, 1.0), (16, 96, 96)))
    assert case.dose is not None
    assert case.dose.geometry.spacing == (2.0, 2.0, 2.0)
    assert case.dose.array.min() >= 0
    target = case.structures.mask("hr_ctv")[:, ::2, ::2]
    assert np.percentile(case.dose.array[target], 10) > np.median(case.dose.array)
