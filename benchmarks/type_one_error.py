"""False-positive rates of the tests for models that are equally good, if the fractions of a patient are correlated.

The value of a case under a model is the sum of three parts. The difficulty of the case is the same for all models. The
fit of the model to the patient is the same for all fractions of that patient. The third part is chance. No model is
better than another in expectation. ``correlation`` is the share of the variance between models that belongs to the
patient. A test at 0.05 should find a difference in 5 % of such cohorts. The permutation by patient can do so in at most
the largest multiple of 2/2^patients below that.

Compared in the same run: the same tests with cases as independent units, as in the paper, and scipy's paired t test.

The second result is the share of tables with any mark. A table has 5 structures and 3 metrics of two equally good
models. The metrics of a structure are correlated by 0.7. The marks are those of ``gynbtnet
compare``: Benjamini–Hochberg over the table, * below 0.05, † below 0.01. Tukey's HSD is not adjusted over the table,
as in the paper.
"""

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np
from scipy import stats

from gynbtnet.evaluation import (
    benjamini_hochberg,
    effect_sizes,
    friedman_test,
    one_way_anova,
    paired_permutation_test,
    patient_mean,
    select_patient_test,
    tukey_hsd,
    wilcoxon_signed_rank,
)
from gynbtnet.runtime import track

MODELS = 3
LEVEL = 0.05
COHORTS = {"29 cases of 6 patients": (29, 6), "145 cases of 30 patients": (145, 30)}
CORRELATIONS = (0.0, 0.3, 0.6)
STRUCTURES, METRICS, OF_STRUCTURE = 5, 3, 0.7


def equal_models(random: np.random.Generator, cases: int, patients: int, correlation: float) -> np.ndarray:
    """Return values (cases, models); case i belongs to patient i modulo patients."""
    patient = np.arange(cases) % patients
    difficulty = random.normal(size=(cases, 1))
    fit = random.normal(size=(patients, MODELS))[patient]
    chance = random.normal(size=(cases, MODELS))
    return difficulty + np.sqrt(correlation) * fit + np.sqrt(1 - correlation) * chance


def positive_tests(values: np.ndarray, patients: int, n_resamples: int, seed: int) -> Iterator[str]:
    """Yield the tests that find a difference; pairs are the first two models, without adjustment."""
    case_names, patient_names = [str(i) for i in range(len(values))], [str(i % patients) for i in range(len(values))]
    difference = values[:, :1] - values[:, 1:2]
    p = {
        "one-way ANOVA": one_way_anova(values).p,
        "Tukey HSD, any pair": min(pair.p_adjusted for pair in tukey_hsd(values).values()),
        "Friedman": friedman_test(values).p,
        "Wilcoxon signed-rank test": wilcoxon_signed_rank(difference[:, 0]).p,
        "paired t (scipy)": stats.ttest_1samp(difference[:, 0], 0).pvalue,
        "permutation by case": paired_permutation_test(difference, case_names, n_resamples, seed).p[0],
        "**permutation by patient**": paired_permutation_test(difference, patient_names, n_resamples, seed).p[0],
        "**t test by patient**": patient_mean(difference, patient_names).p[0],
    }
    yield from (name for name, value in p.items() if value < LEVEL)
    for name, units in (
        ("95 % interval, cases independent", case_names),
        ("**95 % interval by patient**", patient_names),
    ):
        interval = effect_sizes(difference, units, 1)[0].difference
        if not interval.low <= 0 <= interval.high:
            yield name


def rates(cases: int, patients: int, correlation: float, runs: int, n_resamples: int = 1999) -> dict[str, float]:
    """Return the share of ``runs`` cohorts in which each test finds a difference."""
    random = np.random.default_rng([cases, patients, round(100 * correlation)])
    counts: Counter[str] = Counter()
    for run in track(range(runs), f"{cases} cases, {correlation:g}"):
        counts.update(positive_tests(equal_models(random, cases, patients, correlation), patients, n_resamples, run))
    return {name: count / runs for name, count in counts.items()}


def equal_tables(random: np.random.Generator, cases: int, patients: int, correlation: float) -> np.ndarray:
    """Return values (cases, 2 models, structures × metrics); case i belongs to patient i modulo patients."""
    patient = np.arange(cases) % patients

    def draw(rows: int, models: int) -> np.ndarray:
        """Return normal values that are correlated between the metrics of a structure."""
        shared = random.normal(size=(rows, models, STRUCTURES, 1))
        own = random.normal(size=(rows, models, STRUCTURES, METRICS))
        return (np.sqrt(OF_STRUCTURE) * shared + np.sqrt(1 - OF_STRUCTURE) * own).reshape(rows, models, -1)

    fit, chance = draw(patients, 2)[patient], draw(cases, 2)
    return draw(cases, 1) + np.sqrt(correlation) * fit + np.sqrt(1 - correlation) * chance


def smallest_p_of_table(values: np.ndarray, patients: int, n_resamples: int, seed: int) -> dict[str, float]:
    """Return the smallest adjusted p of a table for each test, among the cells in which the first model is better."""
    case_names, patient_names = [str(i) for i in range(len(values))], [str(i % patients) for i in range(len(values))]
    differences = values[:, 0] - values[:, 1]
    test = select_patient_test(patients, differences.shape[1], n_resamples, 0.01)
    by_t = patient_mean(differences, patient_names).p
    by_patient = (
        by_t if test == "patient_t" else paired_permutation_test(differences, patient_names, n_resamples, seed).p
    )
    adjusted = {
        "**by patient (default)**": benjamini_hochberg(by_patient),
        "t test by patient": benjamini_hochberg(by_t),
        "permutation by case": benjamini_hochberg(
            paired_permutation_test(differences, case_names, n_resamples, seed).p
        ),
        # For two models, Tukey's HSD is the t test with the pooled SD, and so is ANOVA.
        "Tukey HSD, as in the paper": np.array([one_way_anova(cell).p for cell in np.moveaxis(values, 2, 0)]),
    }
    better = differences.mean(axis=0) > 0
    return {name: float(np.min(p[better], initial=1.0)) for name, p in adjusted.items()}


def table_rates(
    cases: int, patients: int, correlation: float, runs: int, n_resamples: int = 1999
) -> dict[str, tuple[float, float]]:
    """Return the shares of ``runs`` tables with any mark and with any †, for each test."""
    random = np.random.default_rng([cases, patients, round(100 * correlation), 1])
    smallest: dict[str, list[float]] = {}
    for run in track(range(runs), f"Tables, {cases} cases, {correlation:g}"):
        values = equal_tables(random, cases, patients, correlation)
        for name, p in smallest_p_of_table(values, patients, n_resamples, run).items():
            smallest.setdefault(name, []).append(p)
    return {name: (float(np.mean(np.less(p, LEVEL))), float(np.mean(np.less(p, 0.01)))) for name, p in smallest.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="cohorts per column")
    parser.add_argument("--tables", type=int, default=1000, help="tables per column of the second table")
    arguments = parser.parse_args()
    runs = arguments.runs
    columns = {
        f"{words}, {correlation:g}": rates(*size, correlation, runs)
        for words, size in COHORTS.items()
        for correlation in CORRELATIONS
    }
    tests = list(dict.fromkeys(name for column in columns.values() for name in column))
    error = np.sqrt(0.0475 / runs)
    print(f"False positives at {LEVEL:g}, {runs} cohorts per column; standard error at 5 % {error:.1%}\n")
    print(f"| test | {' | '.join(columns)} |")
    print(f"|---|{'---:|' * len(columns)}")
    for test in tests:
        print(f"| {test} | {' | '.join(f'{column.get(test, 0):.1%}' for column in columns.values())} |")
    of_tables = [
        table_rates(*size, correlation, arguments.tables) for size in COHORTS.values() for correlation in CORRELATIONS
    ]
    print(f"\nTables of two equal models with any mark, with any †; {arguments.tables} tables per column\n")
    print(f"| marks | {' | '.join(columns)} |")
    print(f"|---|{'---:|' * len(columns)}")
    for test in of_tables[0]:
        print(f"| {test} | {' | '.join(f'{column[test][0]:.1%}, {column[test][1]:.1%}' for column in of_tables)} |")


if __name__ == "__main__":
    main()
