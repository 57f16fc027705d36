"""False-positive rates of the tests for models that are equally good, if the fractions of a patient are correlated.

The value of a case under a model is the sum of three parts. The difficulty of the case is the same for all models. The
fit of the model to the patient is the same for all fractions of that patient. The third part is chance. No model is
better than another in expectation. ``correlation`` is the share of the variance between models that belongs to the
patient. A test at 0.05 should find a difference in 5 % of such cohorts. The permutation by patient can do so in at most
the largest multiple of 2/2^patients below that.

Compared in the same run: the same tests with cases as independent units, as in the paper, and scipy's paired t test.
"""

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np
from scipy import stats

from gynbtnet.evaluation import (
    effect_sizes,
    friedman_test,
    one_way_anova,
    paired_permutation_test,
    tukey_hsd,
    wilcoxon_signed_rank,
)
from gynbtnet.runtime import track

MODELS = 3
LEVEL = 0.05
COHORTS = {"29 cases of 6 patients": (29, 6), "145 cases of 30 patients": (145, 30)}
CORRELATIONS = (0.0, 0.3, 0.6)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="cohorts per column")
    runs = parser.parse_args().runs
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


if __name__ == "__main__":
    main()
