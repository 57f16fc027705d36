"""The regression against numpy, the interval by hand and in simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from gynbtnet.inference.quality.dsc_regression import (
    ALPHA,
    FEWEST_PATIENTS,
    CalibratedDSC,
    Line,
    WithoutPatient,
    calibrate,
)


def test_with_negative_slopes_it_is_ridge_regression() -> None:
    random = np.random.default_rng(0)
    x = random.normal(2, 3, (40, 2))
    y = 1.5 - x @ [0.7, 0.2] + random.normal(0, 0.1, 40)
    weights = random.uniform(0.2, 1, 40)
    scaled = (x - np.average(x, axis=0, weights=weights)) / np.sqrt(
        np.average((x - np.average(x, axis=0, weights=weights)) ** 2, axis=0, weights=weights)
    )
    design = np.column_stack([np.ones(40), scaled])
    expected = np.linalg.solve(design.T @ (design * weights[:, None]) + np.diag([0, 1, 1]), design.T @ (weights * y))
    regression = Line.fit(x, y, weights)
    assert [regression.at(row) for row in x] == pytest.approx(design @ expected)


def test_worse_features_never_predict_a_higher_dsc() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(30, 3))
    regression = Line.fit(x, x @ [1.0, -1.0, 0.0] + random.normal(0, 0.1, 30), np.ones(30))
    assert regression.slopes[0] == 0
    assert regression.slopes[1] < -0.8
    assert max(regression.slopes) <= 0


def test_a_constant_feature_has_no_effect() -> None:
    x = np.column_stack([np.arange(10.0), np.full(10, 3.0)])
    assert Line.fit(x, -np.arange(10.0), np.ones(10)).slopes[1] == 0


def test_with_one_case_per_patient_the_interval_is_the_jackknife_plus() -> None:
    """Barber et al. 2021: the ⌈(1 − α)(n + 1)⌉-th smallest of μ₋ᵢ(x) + Rᵢ, and the ⌊α(n + 1)⌋-th of μ₋ᵢ(x) − Rᵢ."""
    random = np.random.default_rng(2)
    n = 25
    levels, residuals = random.normal(1, 0.2, n), random.exponential(0.5, n)
    patients = tuple(
        WithoutPatient(Line(level, (-0.5,)), (residual,)) for level, residual in zip(levels, residuals, strict=True)
    )
    dsc, low, high = CalibratedDSC(Line(1.0, (-0.5,)), patients).at((0.4,))
    assert dsc == pytest.approx(expit(0.8))
    assert high == pytest.approx(expit(np.sort(levels - 0.2 + residuals)[math.ceil((1 - ALPHA) * (n + 1)) - 1]))
    assert low == pytest.approx(expit(np.sort(levels - 0.2 - residuals)[math.floor(ALPHA * (n + 1)) - 1]))


def test_a_patient_weighs_the_same_with_any_number_of_cases() -> None:
    """Nine patients, each a tenth of the weight: 90 % are reached with the last residual of the last."""
    patients = [WithoutPatient(Line(0.0, ()), (0.1,)) for _ in range(8)]
    several = CalibratedDSC(Line(0.0, ()), (*patients, WithoutPatient(Line(0.0, ()), (1.0, 2.0, 3.0))))
    assert several.at(())[1:] == pytest.approx((expit(-3), expit(3)))
    ten = CalibratedDSC(Line(0.0, ()), (*several.patients, patients[0]))  # 9/11 below, a third of 1/11 each above
    assert ten.at(())[1:] == pytest.approx((expit(-3), expit(3)))
    twenty = CalibratedDSC(Line(0.0, ()), (*several.patients, *patients, *patients[:3]))  # 19/21 > 0.9 below
    assert twenty.at(())[1:] == pytest.approx((expit(-0.1), expit(0.1)))


def test_too_few_patients_are_not_calibrated_and_fewer_would_give_no_bound() -> None:
    cases = [f"p{n % (FEWEST_PATIENTS - 1)}" for n in range(40)]
    assert calibrate(cases, np.zeros((40, 1)), np.full(40, 0.8)) is None
    eight = CalibratedDSC(Line(1.0, ()), tuple(WithoutPatient(Line(1.0, ()), (0.1,)) for _ in range(8)))
    assert eight.at(()) == (pytest.approx(expit(1)), 0.0, 1.0)


def test_clipped_dscs_extend_the_interval_to_0_and_1() -> None:
    patients = [f"p{n}" for n in range(10)]
    regression = calibrate(patients, np.zeros((10, 1)), np.array([0.0] * 5 + [1.0] * 5))
    assert regression is not None
    assert regression.at((0.0,))[1:] == (0.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("patients", [12, 30])
def test_the_interval_covers_its_nominal_share_for_any_noise(patients: int) -> None:
    """Fractions of a patient share an error, noise has heavy tails: 90 % of new patients' cases, 80 % guaranteed."""
    random = np.random.default_rng(patients)
    covered, bounded = [], []
    for _ in range(300):
        owners = np.repeat(np.arange(patients + 1), random.integers(1, 6, patients + 1))
        x = random.exponential(1, (len(owners), 2))
        shared = random.standard_t(3, patients + 1)[owners] * 0.5
        dsc = expit(2 - x @ [0.8, 0.0] + shared + random.laplace(0, 0.3, len(owners)))
        known = owners < patients
        regression = calibrate([f"p{value}" for value in owners[known]], x[known], dsc[known])
        assert regression is not None
        intervals = [regression.at(figures) for figures in x[~known]]
        covered.append(
            np.mean([low <= value <= high for (_, low, high), value in zip(intervals, dsc[~known], strict=True)])
        )
        bounded.append(np.mean([value >= low for (_, low, _), value in zip(intervals, dsc[~known], strict=True)]))
    assert np.mean(covered) >= 1 - ALPHA - 0.03
    assert np.mean(covered) <= 0.985  # and isn't merely wide
    assert np.mean(bounded) >= np.mean(covered)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=12, max_size=12), st.floats(0, 10), st.floats(0, 10))
def test_the_prediction_is_in_its_interval_and_falls(dscs: list[float], value: float, more: float) -> None:
    x = np.linspace(0, 5, 12)[:, None]
    regression = calibrate([f"p{n}" for n in range(12)], x, np.array(dscs))
    assert regression is not None
    dsc, low, high = regression.at((value,))
    assert 0 <= low <= dsc + 1e-12
    assert dsc - 1e-12 <= high <= 1
    assert regression.at((value + more,))[0] <= dsc + 1e-12
