"""Intervals over patients and training runs."""

import numpy as np
import pytest
from scipy import stats

from gynbtnet.evaluation import hierarchical_interval


def simulated(
    random: np.random.Generator, runs: int, patients: int, patient_sd: float, run_sd: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two models whose true difference is 0.05; patients have a common difficulty and an own difference."""
    common, difference = random.normal(0, 0.1, patients), random.normal(0.05, patient_sd, patients)
    first, second = (random.normal(0, run_sd, (runs, 1)) + random.normal(0, 0.01, (runs, patients)) for _ in "ab")
    return common + difference + first, common + second


@pytest.mark.parametrize(("patient_sd", "run_sd", "least"), [(0.05, 0.01, 0.92), (0.03, 0.02, 0.9)])
def test_the_interval_covers_the_true_difference(patient_sd: float, run_sd: float, least: float) -> None:
    random, covered = np.random.default_rng(1), 0
    for number in range(400):
        values, other = simulated(random, 3, 8, patient_sd, run_sd)
        low, high = hierarchical_interval(values, other, paired_runs=False, n_resamples=400, seed=number)
        covered += low < 0.05 < high
    assert least <= covered / 400 <= 0.99


def test_resampling_patients_alone_would_cover_too_rarely() -> None:
    """The same simulation, with the mean over runs as if it had no error: the runs have to be resampled."""
    random, covered = np.random.default_rng(1), 0
    for _ in range(400):
        values, other = simulated(random, 3, 8, 0.01, 0.03)
        means = values.mean(axis=0) - other.mean(axis=0)
        half = stats.t.ppf(0.975, 7) * means.std(ddof=1) / np.sqrt(8)
        covered += abs(means.mean() - 0.05) < half
    assert covered / 400 < 0.7


def test_with_one_run_it_is_about_the_t_interval_of_the_patients() -> None:
    random = np.random.default_rng(0)
    differences = random.normal(0.05, 0.1, 40)
    low, high = hierarchical_interval(
        differences[None], np.zeros((1, 40)), paired_runs=False, n_resamples=20_000, seed=0
    )
    expected = stats.t.interval(0.95, 39, differences.mean(), stats.sem(differences))
    np.testing.assert_allclose((low, high), expected, atol=0.004)


def test_the_variance_of_the_runs_is_unbiased() -> None:
    """Patients without any variation: the width is that of the standard error of the mean of three runs."""
    runs = np.array([[0.1], [0.2], [0.6]]) @ np.ones((1, 500))
    low, high = hierarchical_interval(
        runs, np.zeros((1, 500)), paired_runs=False, n_resamples=20_000, seed=0, confidence=0.6827
    )
    assert (high - low) / 2 == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1) / np.sqrt(3), rel=0.25)


def test_what_paired_runs_have_in_common_cancels() -> None:
    random = np.random.default_rng(0)
    draws, patients = random.normal(0, 0.2, (3, 1)), random.normal(0, 0.01, (1, 8))
    values, other = draws + patients + 0.05, draws + np.zeros((1, 8))
    paired = hierarchical_interval(values, other, paired_runs=True, n_resamples=1000, seed=0)
    independent = hierarchical_interval(values, other, paired_runs=False, n_resamples=1000, seed=0)
    assert paired[1] - paired[0] < 0.05 < 0.2 < independent[1] - independent[0]


def test_what_cannot_be_compared() -> None:
    single = hierarchical_interval(np.ones((2, 1)), np.ones((2, 1)), paired_runs=True, n_resamples=10, seed=0)
    assert np.isnan(single).all()
    with pytest.raises(ValueError, match="can't be paired"):
        hierarchical_interval(np.ones((2, 3)), np.ones((3, 3)), paired_runs=True, n_resamples=10, seed=0)
