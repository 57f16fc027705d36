"""Non-inferiority by patient: comparison with scipy and statsmodels."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from gynbtnet.evaluation.statistics.non_inferiority import non_inferiority, required_patients


@pytest.mark.parametrize("sign", [1, -1])
def test_bound_and_p_are_those_of_the_t_test_of_the_patient_means(sign: int) -> None:
    differences = np.random.default_rng(0).normal(0.0, 0.03, (8, 3))
    result = non_inferiority(differences.ravel(), [str(i // 3) for i in range(24)], sign, 0.02)
    means = sign * differences.mean(axis=1)
    expected = stats.ttest_1samp(means, -0.02, alternative="greater")
    assert result.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert result.bound == pytest.approx(stats.ttest_1samp(means, 0, alternative="greater").confidence_interval().low)
    assert result.patient_sd == pytest.approx(means.std(ddof=1))


@pytest.mark.parametrize(("sd", "margin"), [(0.04, 0.02), (0.1, 0.02), (0.3, 0.02)])
def test_sample_size_equals_statsmodels(sd: float, margin: float) -> None:
    n = TTestPower().solve_power(margin / sd, alpha=0.05, power=0.8, alternative="larger")
    assert required_patients(sd, margin) == math.ceil(n)
    assert math.isnan(required_patients(float("nan"), margin))
