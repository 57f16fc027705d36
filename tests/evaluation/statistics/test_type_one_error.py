"""Short simulation of benchmarks/type_one_error.py: tests by patient and tests by case."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    path = Path(__file__).parents[3] / "benchmarks" / "type_one_error.py"
    spec = importlib.util.spec_from_file_location("type_one_error", path)
    simulation = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulation)
    return simulation


@pytest.mark.slow
def test_only_tests_by_patient_keep_the_level(simulation: ModuleType) -> None:
    """12 patients with 4 similar fractions each, 100 cohorts: the standard error of a rate of 5 % is 2.2 %."""
    rates = simulation.rates(48, 12, 0.6, runs=100, n_resamples=999)
    assert rates["**permutation by patient**"] <= 0.11
    assert rates["**t test by patient**"] <= 0.12
    assert rates["**95 % interval by patient**"] == rates["**t test by patient**"]
    for test in ("permutation by case", "Wilcoxon signed-rank test", "Friedman", "95 % interval, cases independent"):
        assert rates[test] > 0.12, test


@pytest.mark.parametrize(("cases", "patients"), [(29, 6), (60, 12)])
def test_default_marks_are_rare_in_tables_of_equal_models(simulation: ModuleType, cases: int, patients: int) -> None:
    """100 tables of similar fractions; the standard error of a rate of 5 % is 2.2 %."""
    rates = simulation.table_rates(cases, patients, 0.6, runs=100, n_resamples=1999)
    assert rates["**by patient (default)**"][0] <= 0.1
    assert rates["permutation by case"][0] > 0.2
