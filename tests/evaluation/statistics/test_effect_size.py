import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gynbtnet.evaluation.statistics.effect_size import effect_sizes
from gynbtnet.evaluation.statistics.patient_bootstrap import bootstrap_interval, resample_patients, sum_by_patient


def one_comparison(differences, patients, sign=1, n_resamples=20_000):
    return effect_sizes(np.asarray(differences, float)[:, None], patients, sign, n_resamples=n_resamples, seed=0)[0]


def test_by_hand() -> None:
    """Differences 1, 3, 0, −2: mean 0.5, SD √(13/3); two won, one_comparison tied."""
    result = one_comparison([1, 3, 0, -2], list("aabc"))
    assert result.difference.value == 0.5
    assert result.standardised.value == pytest.approx(0.5 / np.sqrt(13 / 3))
    assert result.better.value == 2.5 / 4
    assert one_comparison([1, 3, 0, -2], list("aabc"), sign=-1).better.value == 1.5 / 4


def test_interval_of_a_mean_equals_students() -> None:
    """For one case per patient, the expanded percentile interval is as wide as the t interval."""
    differences = np.random.default_rng(2).normal(0.5, 1, 30)
    result = one_comparison(differences, [str(i) for i in range(30)], n_resamples=100_000).difference
    t = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((t.low, t.high), abs=0.04 * (t.high - t.low))


def test_interval_against_scipy_bootstrap() -> None:
    """scipy's percentile interval of the patients' pooled mean, at the widened level, by resampling indices."""
    random = np.random.default_rng(4)
    patients = [f"p{i % 8}" for i in range(33)]
    differences = random.normal(0.2, 1, 33) + np.array([int(name[1]) for name in patients]) / 4
    result = one_comparison(differences, patients, n_resamples=50_000).difference
    groups = [differences[[name == f"p{i}" for name in patients]] for i in range(8)]
    sums, counts = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    tail = stats.norm.cdf(-np.sqrt(8 / 7) * stats.t.ppf(0.975, 7))
    theirs = stats.bootstrap(
        (np.arange(8),),
        lambda i, axis: sums[i].sum(axis=axis) / counts[i].sum(axis=axis),
        confidence_level=1 - 2 * tail,
        n_resamples=50_000,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert (result.low, result.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * (theirs.high - theirs.low))


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
    assert (constant.difference.low, constant.difference.high) == pytest.approx((0.1, 0.1))


def test_patients_are_drawn_equally_often() -> None:
    counts = resample_patients(6, 50_000, 3)
    assert (counts.sum(axis=1) == 6).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(6), abs=0.02)
    assert (counts == resample_patients(6, 50_000, 3)).all()


def test_sums_and_undefined_statistics() -> None:
    assert sum_by_patient(np.array([1.0, 2.0, 4.0]), list("bab")).tolist() == [2.0, 5.0]
    low, high = bootstrap_interval(np.array([[np.nan, np.nan], [np.nan, 1.0], [np.nan, 1.0]]), 5, 0.95)
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == (1, 1)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_order_of_cases_does_not_matter_and_swapping_models_changes_signs(differences, random) -> None:
    patients = [str(i % 4) for i in range(len(differences))]
    result = one_comparison(differences, patients, n_resamples=1000)
    order = list(range(len(differences)))
    random.shuffle(order)
    shuffled = one_comparison([differences[i] for i in order], [patients[i] for i in order], n_resamples=1000)
    swapped = one_comparison([-d for d in differences], patients, n_resamples=1000)
    for name in ("difference", "standardised", "better"):
        mine, other, opposite = (getattr(sizes, name) for sizes in (result, shuffled, swapped))
        assert (mine.value, mine.low, mine.high) == pytest.approx((other.value, other.low, other.high), nan_ok=True)
        total = 1 if name == "better" else 0
        assert (total - opposite.value, total - opposite.high, total - opposite.low) == pytest.approx(
            (mine.value, mine.low, mine.high), nan_ok=True
        )
