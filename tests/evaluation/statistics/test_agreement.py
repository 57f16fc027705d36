import numpy as np
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from gynbtnet.evaluation.statistics.agreement import limits_of_agreement


def test_one_case_per_patient_gives_the_classical_limits() -> None:
    """Differences 1, 2, 3, 4, 5: bias 3, SD √2.5."""
    limits = limits_of_agreement([1, 2, 3, 4, 5], list("abcde"))
    assert (limits.bias, limits.sd) == pytest.approx((3, np.sqrt(2.5)))
    assert (limits.lower, limits.upper) == pytest.approx(
        (3 - 1.959964 * np.sqrt(2.5), 3 + 1.959964 * np.sqrt(2.5)), rel=1e-6
    )
    assert limits.bias_interval == pytest.approx((3 - 2.776445 * np.sqrt(0.5), 3 + 2.776445 * np.sqrt(0.5)), rel=1e-6)
    # χ² of 4: 0.4844 and 11.1433, so that the SD is between √(2.5·4/11.1433) and √(2.5·4/0.4844).
    low, high = np.sqrt(10 / 11.14329), np.sqrt(10 / 0.4844186)
    inner = np.hypot(2.776445 * np.sqrt(0.5), 1.959964 * (np.sqrt(2.5) - low))
    outer = np.hypot(2.776445 * np.sqrt(0.5), 1.959964 * (high - np.sqrt(2.5)))
    assert limits.upper_interval == pytest.approx((limits.upper - inner, limits.upper + outer), rel=1e-5)
    assert limits.lower_interval == pytest.approx((limits.lower - outer, limits.lower + inner), rel=1e-5)


def test_several_cases_per_patient_by_hand() -> None:
    """Patients (1, 3), (5, 7), (6, 6, 9): means 2, 6, 7; S²_d = 7; S²_w = (2 + 2 + 6)/4; 1/m = (1/2 + 1/2 + 1/3)/3."""
    limits = limits_of_agreement([1, 3, 5, 7, 6, 6, 9], list("aabbccc"))
    assert (limits.bias, limits.cases, limits.patients) == (5, 7, 3)
    assert limits.sd == pytest.approx(np.sqrt(7 + (1 - 4 / 9) * 2.5))


def test_variance_equals_that_of_a_mixed_model() -> None:
    """For equal numbers of cases per patient, the sum of REML's variances between and within patients is the same."""
    random = np.random.default_rng(1)
    patients = np.repeat([f"p{i:02d}" for i in range(20)], 5)
    differences = np.repeat(random.normal(0, 2, 20), 5) + random.normal(1, 1, 100)
    fitted = MixedLM(differences, np.ones((100, 1)), groups=patients).fit(reml=True)
    limits = limits_of_agreement(differences, list(patients))
    assert limits.bias == pytest.approx(float(fitted.params[0]), rel=1e-6)
    assert limits.sd**2 == pytest.approx(float(fitted.cov_re[0, 0] + fitted.scale), rel=1e-3)


def test_coverage_of_the_intervals() -> None:
    """8 patients of 4 cases, between and within variance 1: the true limits are ±1.96·√2. 1500 cohorts, ±1.5 %."""
    random = np.random.default_rng(0)
    patients = [str(i) for i in range(8) for _ in range(4)]
    covered = {"bias": 0, "upper": 0, "lower": 0}
    true = {"bias": 0.0, "upper": 1.959964 * np.sqrt(2), "lower": -1.959964 * np.sqrt(2)}
    for _ in range(1500):
        limits = limits_of_agreement(np.repeat(random.normal(size=8), 4) + random.normal(size=32), patients)
        for name, value in true.items():
            low, high = getattr(limits, f"{name}_interval")
            covered[name] += low <= value <= high
    assert all(0.925 < count / 1500 < 0.98 for count in covered.values()), covered


def test_too_few_patients() -> None:
    limits = limits_of_agreement([1, 2, 3], list("aaa"))
    assert limits.bias == 2
    assert np.isnan([limits.lower, *limits.bias_interval, *limits.upper_interval]).all()
    assert np.isnan(limits_of_agreement([], []).bias)
    same = limits_of_agreement([2, 2, 2, 2], list("aabb"))
    assert (same.sd, same.lower, same.upper) == (0, 2, 2)
