"""Short simulation of benchmarks/type_one_error.py: tests by patient and tests by case."""

import importlib.util
from pathlib import Path


def test_only_tests_by_patient_keep_the_level() -> None:
    """12 patients with 4 similar fractions each, 100 cohorts: the standard error of a rate of 5 % is 2.2 %."""
    path = Path(__file__).parents[3] / "benchmarks" / "type_one_error.py"
    spec = importlib.util.spec_from_file_location("type_one_error", path)
    simulation = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulation)
    rates = simulation.rates(48, 12, 0.6, runs=100, n_resamples=999)
    assert rates["**permutation by patient**"] <= 0.11
    assert rates["**95 % interval by patient**"] <= 0.12
    for test in ("permutation by case", "Wilcoxon signed-rank test", "Friedman", "95 % interval, cases independent"):
        assert rates[test] > 0.12, test
