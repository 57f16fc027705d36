import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gynbtnet.evaluation.statistics.patient_bootstrap import patient_bootstrap

SETTINGS: dict[str, Any] = {"n_resamples": 1000, "min_defined": 100, "seed": 0}


def test_a_patient_is_drawn_with_all_cases() -> None:
    patients = np.repeat(list("abcde"), [4, 1, 2, 2, 2])
    resamples: list[tuple[int, ...]] = []

    def statistic(cases: np.ndarray) -> float:
        resamples.append(tuple(sorted(cases)))
        return float(len(cases))

    low, high = patient_bootstrap(patients, statistic, **SETTINGS)
    for cases in resamples:
        counts = np.bincount(cases, minlength=11)
        assert all(
            len(set(counts[np.array([n for n in range(11) if patients[n] == patient])])) == 1 for patient in "abcde"
        )
    assert 5 <= low < high <= 20  # five times the shortest and the longest patient


def test_interval_of_a_mean_is_students_for_few_patients() -> None:
    """The plain percentile interval of eight patients is a fifth shorter."""
    values = np.random.default_rng(5).normal(size=8)
    patients = np.array([f"p{n}" for n in range(8)])
    low, high = patient_bootstrap(patients, lambda cases: float(values[cases].mean()), **SETTINGS)
    expected = stats.t.interval(0.95, 7, values.mean(), values.std(ddof=1) / math.sqrt(8))
    assert high - low == pytest.approx(expected[1] - expected[0], rel=0.1)


def test_rarely_defined_statistics_have_no_interval() -> None:
    assert all(map(math.isnan, patient_bootstrap(np.array(list("abcdef")), lambda _: math.nan, **SETTINGS)))


def test_fewer_than_five_patients_have_no_interval() -> None:
    assert all(map(math.isnan, patient_bootstrap(np.array(list("aabbccdd")), lambda _: 1.0, **SETTINGS)))
