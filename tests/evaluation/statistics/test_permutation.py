"""Paired permutation test: comparison with scipy, results by hand, and invariance."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gynbtnet.evaluation.statistics.permutation import paired_permutation_test, smallest_p

DIFFERENCES = st.lists(st.integers(-20, 20), min_size=2, max_size=9).map(lambda d: np.array(d, float)[:, None])


def names(n: int) -> list[str]:
    return [f"{i:03d}" for i in range(n)]


@pytest.mark.parametrize("n", [3, 8, 14])
def test_exact_test_equals_scipy(n: int) -> None:
    pairs = np.random.default_rng(n).normal(0.3, 1, (2, n))
    ours = paired_permutation_test((pairs[0] - pairs[1])[:, None], names(n), 100_000, 0)
    theirs = stats.permutation_test(pairs, lambda a, b, axis: (a - b).mean(axis=axis), permutation_type="samples")
    assert (ours.exact, ours.n_permutations) == (True, 2**n)
    assert ours.p[0] == pytest.approx(theirs.pvalue if n < 14 else ours.p[0], rel=1e-12)
    every = [abs(np.dot(signs, pairs[0] - pairs[1])) for signs in itertools.product((1, -1), repeat=n)]
    assert ours.p[0] == np.mean(np.array(every) >= every[0] - 1e-9)


def test_36_units_are_counted_as_sums_of_signed_ranks_are() -> None:
    """Differences 1 to n with random signs: the exact p of Wilcoxon's test, from scipy's recursion."""
    for n in (25, 36):
        ranks = np.arange(1.0, n + 1) * np.where(np.random.default_rng(n).random(n) < 0.7, 1.0, -1.0)
        ours = paired_permutation_test(ranks[:, None], names(n), 1000, 0)
        assert (ours.exact, ours.n_permutations) == (True, 2**n)
        assert ours.p[0] == pytest.approx(stats.wilcoxon(ranks, method="exact").pvalue, rel=1e-12)


def test_random_swaps_are_close_to_scipy_and_repeatable() -> None:
    pairs = np.random.default_rng(1).normal(0.25, 1, (2, 40))
    differences = (pairs[0] - pairs[1])[:, None]
    ours = paired_permutation_test(differences, names(40), 100_000, 5)
    theirs = stats.permutation_test(
        pairs, lambda a, b, axis: (a - b).mean(axis=axis), permutation_type="samples", n_resamples=20_000, rng=1
    )
    assert (ours.exact, ours.n_permutations) == (False, 100_000)
    assert ours.p[0] == pytest.approx(theirs.pvalue, abs=5 * np.sqrt(theirs.pvalue / 20_000))
    assert paired_permutation_test(differences, names(40), 100_000, 5).p[0] == ours.p[0]
    assert paired_permutation_test(differences, names(40), 100_000, 6).p[0] != ours.p[0]


def test_patients_by_hand() -> None:
    """Sums by patient are 3, 2 and −1. ±4 (twice) and ±6 (twice) of the 8 swaps are at least as extreme as 4."""
    differences = np.array([1.0, 2.0, 2.0, -1.0])[:, None]
    result = paired_permutation_test(differences, ["a", "a", "b", "c"], 1000, 0)
    assert result.statistic[0] == 1
    assert (result.p[0], result.n_permutations) == (4 / 8, 8)
    assert paired_permutation_test(abs(differences), ["a", "a", "b", "c"], 1000, 0).p[0] == 2 / 8 == smallest_p(3)


def test_smallest_p_of_six_patients() -> None:
    differences = np.random.default_rng(0).uniform(1, 2, (29, 1))
    assert (
        paired_permutation_test(differences, [str(i % 6) for i in range(29)], 100_000, 0).p[0]
        == smallest_p(6)
        == 2 / 64
    )
    assert paired_permutation_test(differences, names(29), 100_000, 0).p[0] == smallest_p(29)
    many = np.random.default_rng(0).uniform(1, 2, (40, 1))
    assert paired_permutation_test(many, names(40), 100_000, 0).p[0] == 1 / 100_001


def test_no_cases_or_no_differences() -> None:
    assert np.isnan(paired_permutation_test(np.zeros((0, 2)), [], 1000, 0).p).all()
    assert paired_permutation_test(np.zeros((5, 1)), names(5), 1000, 0).p[0] == 1


@pytest.mark.parametrize("n", [6, 40])
def test_an_undefined_difference_has_no_p(n: int) -> None:
    differences = np.random.default_rng(0).normal(1, 1, (n, 2))
    complete = paired_permutation_test(differences, names(n), 1000, 0)
    differences[3, 0] = np.nan
    result = paired_permutation_test(differences, names(n), 1000, 0)
    assert np.isnan([result.p[0], result.statistic[0]]).all()
    assert result.p[1] == complete.p[1] > 0


@settings(deadline=None)
@given(DIFFERENCES, st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_of_cases_and_names_of_models_do_not_matter(differences, random, patients: int) -> None:
    patients_of_cases = [str(i % patients) for i in range(len(differences))]
    result = paired_permutation_test(differences, patients_of_cases, 1000, 0)
    order = list(range(len(differences)))
    random.shuffle(order)
    shuffled = paired_permutation_test(differences[order], [patients_of_cases[i] for i in order], 1000, 0)
    swapped = paired_permutation_test(-differences, patients_of_cases, 1000, 0)
    assert shuffled.p[0] == swapped.p[0] == result.p[0]
    assert swapped.statistic[0] == -result.statistic[0]
    assert paired_permutation_test(7 * differences, patients_of_cases, 1000, 0).p[0] == result.p[0]
    assert result.p[0] >= smallest_p(min(patients, len(differences)))
