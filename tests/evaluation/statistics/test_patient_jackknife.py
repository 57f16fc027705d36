"""Patient jackknife: comparison with Student's test and with a mixed model of statsmodels."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from gynbtnet.evaluation.statistics.patient_jackknife import patient_mean

PATIENTS = [f"p{i % 8}" for i in range(32)]


def differences(seed: int = 3) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 0.4 + random.normal(0, 1, 8)[np.arange(32) % 8] + random.normal(0, 0.5, 32)


def test_equal_numbers_of_cases_give_the_t_test_of_the_patient_means() -> None:
    values = differences()
    means = pd.Series(values).groupby(PATIENTS).mean()
    estimate = patient_mean(values[:, None], PATIENTS)
    assert estimate.p[0] == pytest.approx(stats.ttest_1samp(means, 0).pvalue, rel=1e-9)
    assert estimate.degrees_of_freedom == pytest.approx(7)


def test_it_has_the_standard_error_of_a_mixed_model() -> None:
    """``metric ~ model + (1 | patient)`` of paired values is ``difference ~ 1 + (1 | patient)``."""
    values = differences()
    fit = MixedLM(values, np.ones((32, 1)), groups=np.array(PATIENTS)).fit(reml=True)
    estimate = patient_mean(values[:, None], PATIENTS)
    assert fit.params[0] == pytest.approx(estimate.value[0], rel=1e-6)
    assert fit.bse[0] == pytest.approx(estimate.standard_error[0], rel=1e-3)


def test_identical_patients_and_single_patients() -> None:
    assert patient_mean(np.zeros((4, 1)), list("aabb")).p[0] == 1
    assert np.isnan(patient_mean(np.full((4, 1), 0.3), list("aabb")).p[0])
    assert np.isnan(patient_mean(np.array([[1.0], [2.0]]), list("aa")).p[0])
    assert np.isnan(patient_mean(np.zeros((0, 2)), []).value).all()


def test_a_patient_with_many_cases_counts_as_fewer_patients() -> None:
    """Kish's effective number of patients with 6, 1 and 1 cases is 64/38."""
    values = np.random.default_rng(0).normal(size=(8, 1))
    assert patient_mean(values, list("aaaaaabc")).degrees_of_freedom == pytest.approx(64 / 38 - 1)
