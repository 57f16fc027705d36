"""How often each test finds a difference between models that are equally good, when fractions of a patient are alike.

Values of a case under a model are drawn as: how hard the case is, the same for all models; how well the model suits the
patient, the same for all fractions of that patient; and chance. No model is better than another in expectation. Of the
variance between models, the share ``correlation`` belongs to the patient. A test at 0.05 should find a difference in
5 % of such cohorts; the permutation by patient can do so in at most the largest multiple of 2/2^patients below that.

Peers in the same run: the same tests taking cases as independent, as the paper does, and scipy's paired t-test.
"""

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np
from scipy import stats

from gynbtnet.evaluation.statistics.analysis_of_variance import one_way_anova, tukey_hsd
from gynbtnet.evaluation.statistics.effect_size import effect_sizes
from gynbtnet.evaluation.statistics.friedman import friedman_test, wilcoxon_signed_rank
from gynbtnet.evaluation.statistics.permutation import paired_permutation_test
from gynbtnet.runtime.progress import track

MODELS = 3
LEVEL = 0.05
COHORTS = {"29 cases of 6 patients": (29, 6), "145 cases of 30 patients": (145, 30)}
CORRELATIONS = (0.0, 0.3, 0.6)


def equal_models(random: np.random.Generator, cases: int, patients: int, correlation: float) -> np.ndarray:
    """(cases, models); case i is of patient i modulo patients."""
    whose = np.arange(cases) % patients
    hard = random.normal(size=(cases, 1))
    suits = random.normal(size=(patients, MODELS))[whose]
    chance = random.normal(size=(cases, MODELS))
    return hard + np.sqrt(correlation) * suits + np.sqrt(1 - correlation) * chance


def found(values: np.ndarray, patients: int, n_resamples: int, seed: int) -> Iterator[str]:
    """The tests that find a difference; pairs are the first two models, without adjustment."""
    names, whose = [str(i) for i in range(len(values))], [str(i % patients) for i in range(len(values))]
    difference = values[:, :1] - values[:, 1:2]
    p = {
        "one-way ANOVA": one_way_anova(values).p,
        "Tukey HSD, any pair": min(pair.p_adjusted for pair in tukey_hsd(values).values()),
        "Friedman": friedman_test(values).p,
        "Wilcoxon signed-rank test": wilcoxon_signed_rank(difference[:, 0]).p,
        "paired t (scipy)": stats.ttest_1samp(difference[:, 0], 0).pvalue,
        "permutation by case": paired_permutation_test(difference, names, n_resamples, seed).p[0],
        "**permutation by patient**": paired_permutation_test(difference, whose, n_resamples, seed).p[0],
    }
    yield from (name for name, value in p.items() if value < LEVEL)
    for name, units in (("95 % interval, cases resampled", names), ("**95 % interval, patients resampled**", whose)):
        interval = effect_sizes(difference, units, 1, n_resamples=n_resamples, seed=seed)[0].difference
        if not interval.low <= 0 <= interval.high:
            yield name


def rates(cases: int, patients: int, correlation: float, runs: int, n_resamples: int = 1999) -> dict[str, float]:
    """Of each test the share of ``runs`` cohorts in which it found something."""
    random = np.random.default_rng([cases, patients, round(100 * correlation)])
    counts: Counter[str] = Counter()
    for run in track(range(runs), f"{cases} cases, {correlation:g}"):
        counts.update(found(equal_models(random, cases, patients, correlation), patients, n_resamples, run))
    return {name: count / runs for name, count in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="cohorts for each column")
    runs = parser.parse_args().runs
    columns = {
        f"{words}, {correlation:g}": rates(*size, correlation, runs)
        for words, size in COHORTS.items()
        for correlation in CORRELATIONS
    }
    tests = list(dict.fromkeys(name for column in columns.values() for name in column))
    print(f"False findings at {LEVEL:g}, {runs} cohorts a column; standard error at 5 % {np.sqrt(0.0475 / runs):.1%}\n")
    print(f"| test | {' | '.join(columns)} |")
    print(f"|---|{'---:|' * len(columns)}")
    for test in tests:
        print(f"| {test} | {' | '.join(f'{column.get(test, 0):.1%}' for column in columns.values())} |")


if __name__ == "__main__":
    main()
