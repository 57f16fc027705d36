"""All tests between models, by structure and metric, with adjustment for multiple comparisons.

Families: Tukey's HSD, and Holm's adjustment of the signed-rank tests, are adjusted over all pairs of models within one
structure and metric. The paired permutations are adjusted by Benjamini–Hochberg over structures and metrics together,
in two families per test. The first family is the comparisons of our model with each other model, used by the
significance marks. The second is the comparisons among the other models. The t tests by patient are adjusted in the
same two families. ANOVA and Friedman have one p-value per structure and metric and are one family each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.statistics.adjustment import benjamini_hochberg, holm
from gynbtnet.evaluation.statistics.analysis_of_variance import one_way_anova, tukey_hsd
from gynbtnet.evaluation.statistics.effect_size import EffectSizes, effect_sizes
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN, PairedValues, pair_values
from gynbtnet.evaluation.statistics.patient_jackknife import patient_mean
from gynbtnet.evaluation.statistics.permutation import (
    MAX_EXACT_UNITS,
    PermutationTest,
    paired_permutation_test,
    smallest_p,
)
from gynbtnet.evaluation.statistics.rank_tests import friedman_test, wilcoxon_signed_rank
from gynbtnet.runtime.progress import track

TESTS = {
    "anova": "one-way ANOVA",
    "tukey": "Tukey HSD",
    "friedman": "Friedman",
    "wilcoxon": "Wilcoxon signed-rank test",
    "permutation": "paired permutation by case",
    "patient_permutation": "paired permutation by patient",
    "patient_t": "paired t test by patient",
}
BY_FAMILY = ("anova", "friedman", "permutation", "patient_permutation", "patient_t")
"""Tests that are adjusted by Benjamini–Hochberg over structures and metrics."""


@dataclass(frozen=True)
class ModelTests:
    """Results of all tests between models.

    Attributes:
        tests: one row per test, with the columns listed in :func:`run_model_tests`.
        effects: one row per pair, structure and metric: ``difference``, ``standardised`` and ``better`` of
            :class:`gynbtnet.evaluation.statistics.effect_size.EffectSizes`, each with ``_low`` and ``_high``.
    """

    tests: pd.DataFrame
    effects: pd.DataFrame

    def of_pair(self, test: str, model: str, other: str) -> pd.DataFrame:
        """Return the rows of one test and pair, indexed by structure and metric; ``model`` is the first of the pair."""
        table = self.tests
        rows = table[(table["test"] == test) & (table["model"] == model) & (table["other"] == other)]
        return rows.set_index(["structure", "metric"])


def select_patient_test(n_patients: int, n_comparisons: int, n_resamples: int, level: float) -> str:
    """Return the test by patient whose p-values can be below a level after adjustment, a key of ``TESTS``.

    The permutation needs no assumption on the distribution of the differences, but has few possible p-values for few
    patients. It is selected if a single comparison with its smallest p could be significant after Benjamini–Hochberg.
    Otherwise the t test is selected. The choice depends on numbers that are known before the scores.

    Args:
        n_patients: number of patients.
        n_comparisons: number of comparisons in the family.
        n_resamples: number of random swaps for many patients.
        level: significance level.

    Returns:
        The key of the test.

    Example:
        >>> select_patient_test(6, 15, 100_000, 0.01), select_patient_test(30, 15, 100_000, 0.01)
        ('patient_t', 'patient_permutation')
    """
    smallest = smallest_p(n_patients) if n_patients <= MAX_EXACT_UNITS else 1 / (n_resamples + 1)
    return "patient_permutation" if smallest * n_comparisons < level else "patient_t"


def run_model_tests(
    evaluations: Mapping[str, Evaluation],
    ours: str,
    structures: Sequence[str],
    metrics: Sequence[str],
    *,
    n_resamples: int,
    seed: int,
) -> ModelTests:
    """Test models against one another; pairs are ``ours`` with each other model, then the others in their order.

    Args:
        evaluations: evaluations of the same cases by model.
        ours: model that the others are compared with.
        structures: identifiers of structures.
        metrics: keys of :data:`BETTER_SIGN`.
        n_resamples: number of random swaps of :func:`paired_permutation_test`.
        seed: seed of the swaps.

    Returns:
        Results of the tests and effect sizes. The table of tests has these columns:

        - ``structure``, ``metric``, ``test`` (a key of ``TESTS``).
        - ``model`` and ``other``; empty for a test of all models together.
        - ``statistic``: F; t; χ²; the smaller sum of ranks; the mean difference.
        - ``p``, ``p_adjusted``, and ``adjustment``: its method and number of comparisons.
        - ``n_permutations``: number of swaps that were counted, 0 for other tests; ``exact``: whether these are all.
        - ``effect``: η² or Kendall's W; NaN for pairs.
        - ``cases``, ``patients``, ``left_out`` and ``absences`` (see :class:`PairedValues`).
    """
    models = [ours, *(name for name in evaluations if name != ours)]
    ordered = {name: evaluations[name] for name in models}
    tests: list[dict[str, Any]] = []
    effects: list[dict[str, Any]] = []
    for structure in track(structures, "Compare"):
        for metric in metrics:
            values = pair_values(ordered, structure, metric)
            tests += _test_rows(values, n_resamples, seed)
            effects += _effect_rows(values)
    return ModelTests(_adjusted(pd.DataFrame(tests), ours), pd.DataFrame(effects))


def _test_rows(values: PairedValues, n_resamples: int, seed: int) -> Iterator[dict[str, Any]]:
    columns = _common_columns(values)
    defaults: dict[str, Any] = {"n_permutations": 0, "exact": False, "effect": np.nan}
    anova, ranks = one_way_anova(values.values), friedman_test(values.values)
    yield columns | defaults | _row("anova", anova.statistic, anova.p, effect=anova.eta_squared)
    yield columns | defaults | _row("friedman", ranks.statistic, ranks.p, effect=ranks.w)
    pairs = list(combinations(values.models, 2))
    differences = np.stack([values.differences(*pair) for pair in pairs], axis=1)
    by_case = paired_permutation_test(differences, values.cases, n_resamples, seed)
    by_patient = paired_permutation_test(differences, values.patients, n_resamples, seed)
    means = patient_mean(differences, values.patients)
    t = means.value / means.standard_error
    tukey_pairs, wilcoxon = tukey_hsd(values.values), [wilcoxon_signed_rank(column) for column in differences.T]
    holm_p = holm([result.p for result in wilcoxon])
    for i, (model, other) in enumerate(pairs):
        pair_columns = columns | {"model": model, "other": other} | defaults
        tukey = tukey_pairs[values.models.index(model), values.models.index(other)]
        all_pairs = f"over {len(pairs)} pairs"
        yield pair_columns | _row(
            "tukey", tukey.statistic, tukey.p, p_adjusted=tukey.p_adjusted, adjustment=f"Tukey {all_pairs}"
        )
        yield pair_columns | _row(
            "wilcoxon",
            wilcoxon[i].statistic,
            wilcoxon[i].p,
            p_adjusted=holm_p[i],
            adjustment=f"Holm {all_pairs}",
        )
        yield pair_columns | _permutation_row("permutation", by_case, i)
        yield pair_columns | _permutation_row("patient_permutation", by_patient, i)
        yield pair_columns | _row("patient_t", float(t[i]), float(means.p[i]))


def _effect_rows(values: PairedValues) -> Iterator[dict[str, Any]]:
    pairs = list(combinations(values.models, 2))
    differences = np.stack([values.differences(*pair) for pair in pairs], axis=1)
    sizes = effect_sizes(differences, values.patients, BETTER_SIGN[values.metric])
    for (model, other), size in zip(pairs, sizes, strict=True):
        yield _common_columns(values) | {"model": model, "other": other} | _effect_columns(size)


def _effect_columns(sizes: EffectSizes) -> dict[str, float]:
    estimates = {"difference": sizes.difference, "standardised": sizes.standardised, "better": sizes.better}
    return {
        f"{name}{suffix}": value
        for name, estimate in estimates.items()
        for suffix, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high))
    }


def _common_columns(values: PairedValues) -> dict[str, Any]:
    return {
        "structure": values.structure,
        "metric": values.metric,
        "model": "",
        "other": "",
        "cases": len(values.cases),
        "patients": values.n_patients,
        "left_out": values.left_out,
        "absences": values.absences,
    }


def _row(test: str, statistic: float, p: float, **further: object) -> dict[str, Any]:
    return {"test": test, "statistic": statistic, "p": p, "p_adjusted": np.nan, "adjustment": ""} | further


def _permutation_row(test: str, result: PermutationTest, i: int) -> dict[str, Any]:
    counts = {"n_permutations": result.n_permutations, "exact": result.exact}
    return _row(test, float(result.statistic[i]), float(result.p[i]), **counts)


def _adjusted(tests: pd.DataFrame, ours: str) -> pd.DataFrame:
    """Return the tests adjusted by Benjamini–Hochberg in the families that the module's docstring lists."""
    adjusted = tests.copy()
    with_ours = tests["model"] == ours  # ours is the first of every pair that it is in
    for test in BY_FAMILY:
        for family in (with_ours, ~with_ours):
            members = (tests["test"] == test) & family
            if members.any():
                size = int(tests.loc[members, "p"].notna().sum())
                adjusted.loc[members, "p_adjusted"] = benjamini_hochberg(tests.loc[members, "p"].to_numpy())
                adjusted.loc[members, "adjustment"] = f"Benjamini–Hochberg over {size} comparisons"
    return adjusted
