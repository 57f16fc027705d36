import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gynbtnet.evaluation.statistics.effect_size import effect_sizes
from gynbtnet.evaluation.statistics.patient_bootstrap import bootstrap_interval, resample_patients, sum_by_patient


def one_comparison(differences, patients, sign=1):
    return effect_sizes(np.asarray(differences, float)[:, None], patients, sign)[0]


def test_by_hand() -> None:
    """Differences 1, 3, 0, −2: mean 0.5, SD √(13/3); two won, one_comparison tied."""
    result = one_comparison([1, 3, 0, -2], list("aabc"))
    assert result.difference.value == 0.5
    assert result.standardised.value == pytest.approx(0.5 / np.sqrt(13 / 3))
    assert result.better.value == 2.5 / 4
    assert one_comparison([1, 3, 0, -2], list("aabc"), sign=-1).better.value == 1.5 / 4


@pytest.mark.parametrize(("patients", "fractions"), [(2, 3), (6, 5), (30, 1)])
def test_interval_of_a_mean_is_students_of_the_patient_means(patients: int, fractions: int) -> None:
    differences = np.random.default_rng(2).normal(0.5, 1, (patients, fractions))
    result = one_comparison(differences.ravel(), [str(i // fractions) for i in range(differences.size)]).difference
    t = stats.ttest_1samp(differences.mean(axis=1), 0).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((t.low, t.high), rel=1e-9)


def test_shares_of_0_and_1_have_the_interval_of_clopper_and_pearson() -> None:
    patients = [str(i // 2) for i in range(40)]
    for sign, successes in ((1, 20), (-1, 0)):
        better = one_comparison(np.random.default_rng(0).uniform(0.1, 1, 40), patients, sign).better
        exact = stats.binomtest(successes, 20).proportion_ci(0.95, "exact")
        ends = (exact.low, 1.0) if sign == 1 else (0.0, exact.high)
        assert (better.low, better.high) == pytest.approx(ends, rel=1e-9)
    few = one_comparison([1, 2, 3, 4, 5, 6], list("aabbcc")).better
    assert few.value == 1
    assert np.isnan([few.low, few.high]).all()


def covered(patients: int, correlation: float, cohorts: int) -> np.ndarray:
    """Return the share of simulated cohorts whose intervals of difference, d_z and share contain the true values."""
    random = np.random.default_rng([patients, round(100 * correlation)])
    of_case = np.arange(5 * patients) % patients
    fit, chance = random.normal(size=(patients, cohorts)), random.normal(size=(5 * patients, cohorts))
    values = 0.5 + np.sqrt(correlation) * fit[of_case] + np.sqrt(1 - correlation) * chance
    sizes = effect_sizes(values, [str(i) for i in of_case], 1)
    truth = (0.5, 0.5, stats.norm.cdf(0.5))
    inside = [
        [np.nan if np.isnan(e.low) else e.low <= true <= e.high for e, true in zip(row, truth, strict=True)]
        for row in ((size.difference, size.standardised, size.better) for size in sizes)
    ]
    return np.mean(np.array(inside, float), axis=0)


@pytest.mark.parametrize("patients", [2, 6, 30])
def test_intervals_cover_95_percent(patients: int) -> None:
    """800 cohorts: the standard error of a rate of 95 % is 0.8 %."""
    rates = covered(patients, 0.5, 800)
    assert np.isnan(rates).tolist() == [False, patients < 3, patients < 20]
    assert np.nanmin(rates) > 0.925
    assert np.nanmax(rates) < 0.975


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("patients", [2, 3, 4, 5, 8, 12, 20, 30])
def test_intervals_cover_93_to_97_percent(patients: int, correlation: float) -> None:
    rates = covered(patients, correlation, 6000)
    assert np.nanmin(rates) > 0.93
    assert np.nanmax(rates) < 0.97


def test_similar_fractions_widen_the_interval() -> None:
    differences = np.repeat(np.random.default_rng(0).normal(0, 1, 6), 5)
    by_patient = one_comparison(differences, [str(i // 5) for i in range(30)]).difference
    by_case = one_comparison(differences, [str(i) for i in range(30)]).difference
    assert by_patient.high - by_patient.low > 2 * (by_case.high - by_case.low)


def test_few_patients() -> None:
    result = one_comparison([1, 2, 3], list("aaa"))
    assert result.difference.value == 2
    assert np.isnan([result.difference.low, result.standardised.low, result.better.high]).all()
    assert np.isnan(one_comparison([], []).difference.value)
    constant = one_comparison([0.1] * 6, list("aabbcc"))
    assert np.isnan(constant.standardised.value)
    assert np.isnan([constant.difference.low, constant.difference.high]).all()


def test_patients_are_drawn_equally_often() -> None:
    counts = resample_patients(6, 50_000, 3)
    assert (counts.sum(axis=1) == 6).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(6), abs=0.02)
    assert (counts == resample_patients(6, 50_000, 3)).all()


def test_sums_and_undefined_statistics() -> None:
    assert sum_by_patient(np.array([1.0, 2.0, 4.0]), list("bab")).tolist() == [2.0, 5.0]
    resampled = np.array([[np.nan, np.nan], [np.nan, 1.0], [np.nan, 1.0]])
    low, high = bootstrap_interval(resampled, 5, 0.95)
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == (1, 1)
    assert np.isnan(bootstrap_interval(resampled, 4, 0.95)).all()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_order_of_cases_does_not_matter_and_swapping_models_changes_signs(differences, random) -> None:
    patients = [str(i % 4) for i in range(len(differences))]
    result = one_comparison(differences, patients)
    order = list(range(len(differences)))
    random.shuffle(order)
    shuffled = one_comparison([differences[i] for i in order], [patients[i] for i in order])
    swapped = one_comparison([-d for d in differences], patients)
    for name in ("difference", "standardised", "better"):
        mine, other, opposite = (getattr(sizes, name) for sizes in (result, shuffled, swapped))
        assert (mine.value, mine.low, mine.high) == pytest.approx((other.value, other.low, other.high), nan_ok=True)
        total = 1 if name == "better" else 0
        assert (total - opposite.value, total - opposite.high, total - opposite.low) == pytest.approx(
            (mine.value, mine.low, mine.high), nan_ok=True
        )
