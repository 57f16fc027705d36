"""The simulation of benchmarks/type_one_error.py, in short: tests that know patients, and tests that don't."""

import importlib.util
from pathlib import Path


def test_only_whole_patients_keep_the_level() -> None:
    """12 patients of 4 alike fractions, 100 cohorts: the standard error of a rate of 5 % is 2.2 %."""
    path = Path(__file__).parents[3] / "benchmarks" / "type_one_error.py"
    spec = importlib.util.spec_from_file_location("type_one_error", path)
    simulation = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulation)
    rates = simulation.rates(48, 12, 0.6, runs=100, n_resamples=999)
    assert rates["**permutation by patient**"] <= 0.11
    assert rates["**95 % interval, patients resampled**"] <= 0.12
    for unaware in ("permutation by case", "Wilcoxon signed-rank test", "Friedman", "95 % interval, cases resampled"):
        assert rates[unaware] > 0.12, unaware
