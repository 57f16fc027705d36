"""Every test between models, a structure and a metric at a time, with the adjustment for how many they are.

Families. Tukey's HSD and Holm's adjustment of the signed ranks allow for all pairs of models within one structure and
metric. The paired permutations are adjusted by Benjamini–Hochberg over structures and metrics together, in two families
a test: the comparisons of our model with each other one, which the marks are made of, and those of the others among
themselves. ANOVA and Friedman, one p-value a structure and metric, are a family each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from gynbtnet.evaluation.metrics.evaluate import Evaluation
from gynbtnet.evaluation.statistics.adjustment import benjamini_hochberg, holm
from gynbtnet.evaluation.statistics.analysis_of_variance import analysis_of_variance, tukey
from gynbtnet.evaluation.statistics.effect_size import Effects, effects
from gynbtnet.evaluation.statistics.friedman import friedman, signed_ranks
from gynbtnet.evaluation.statistics.paired_values import BETTER, PairedValues, paired_values
from gynbtnet.evaluation.statistics.permutation import Permutation, paired_permutation
from gynbtnet.runtime.progress import track

TESTS = {
    "anova": "one-way ANOVA",
    "tukey": "Tukey HSD",
    "friedman": "Friedman",
    "wilcoxon": "Wilcoxon signed ranks",
    "permutation": "paired permutation by case",
    "patient_permutation": "paired permutation by patient",
}
BY_FAMILY = ("anova", "friedman", "permutation", "patient_permutation")
"""Tests that are adjusted by Benjamini–Hochberg over structures and metrics."""


@dataclass(frozen=True)
class ModelTests:
    """All that was tested.

    Attributes:
        tests: a row a test, with ``structure``, ``metric``, ``test`` (a key of ``TESTS``), ``model`` and ``other``
            (empty for a test of all models at once), ``statistic`` (F; t; χ²; the smaller sum of ranks; the mean
            difference), ``p``, ``p_adjusted``, ``adjustment`` (by what and over how many), ``arrangements`` (how many
            swaps were counted; 0 where none are), ``exact`` (whether those are all), ``effect`` (η² or Kendall's W; NaN
            for pairs), ``cases``, ``patients`` and ``left_out`` (see :class:`PairedValues`).
        effects: a row a pair, structure and metric: ``difference``, ``standardised`` and ``better`` of
            :class:`gynbtnet.evaluation.statistics.effect_size.Effects`, each with ``_low`` and ``_high``.
    """

    tests: pd.DataFrame
    effects: pd.DataFrame

    def of_pair(self, test: str, model: str, other: str) -> pd.DataFrame:
        """The rows of one test and pair, indexed by structure and metric; as it was asked, ``model`` first."""
        table = self.tests
        rows = table[(table["test"] == test) & (table["model"] == model) & (table["other"] == other)]
        return rows.set_index(["structure", "metric"])


def model_tests(
    evaluations: Mapping[str, Evaluation],
    ours: str,
    structures: Sequence[str],
    metrics: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> ModelTests:
    """Test models against one another; pairs are ``ours`` with each other one, then the others as they come.

    Args:
        evaluations: by model, of the same cases.
        ours: the model that the others are compared with.
        structures: their ids.
        metrics: keys of :data:`BETTER`.
        resamples: see :func:`paired_permutation`; patients are drawn as often.
        seed: of both.
    """
    models = [ours, *(name for name in evaluations if name != ours)]
    ordered = {name: evaluations[name] for name in models}
    tests: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for structure in track(structures, "Compare"):
        for metric in metrics:
            values = paired_values(ordered, structure, metric)
            tests += _tests(values, resamples, seed)
            found += _effects(values, resamples, seed)
    return ModelTests(_adjusted(pd.DataFrame(tests), ours), pd.DataFrame(found))


def _tests(values: PairedValues, resamples: int, seed: int) -> Iterator[dict[str, Any]]:
    said = _said(values)
    nothing: dict[str, Any] = {"arrangements": 0, "exact": False, "effect": np.nan}
    whole, ranks = analysis_of_variance(values.values), friedman(values.values)
    yield said | nothing | _row("anova", whole.statistic, whole.p, effect=whole.eta_squared)
    yield said | nothing | _row("friedman", ranks.statistic, ranks.p, effect=ranks.w)
    pairs = list(combinations(values.models, 2))
    differences = np.stack([values.differences(*pair) for pair in pairs], axis=1)
    by_case = paired_permutation(differences, values.cases, resamples, seed)
    by_patient = paired_permutation(differences, values.patients, resamples, seed)
    tukeys, signed = tukey(values.values), [signed_ranks(column) for column in differences.T]
    holms = holm([one.p for one in signed])
    for place, (model, other) in enumerate(pairs):
        of_pair = said | {"model": model, "other": other} | nothing
        of_all = tukeys[values.models.index(model), values.models.index(other)]
        all_pairs = f"over {len(pairs)} pairs"
        yield of_pair | _row(
            "tukey", of_all.statistic, of_all.p, p_adjusted=of_all.p_adjusted, adjustment=f"Tukey {all_pairs}"
        )
        yield of_pair | _row(
            "wilcoxon",
            signed[place].statistic,
            signed[place].p,
            p_adjusted=holms[place],
            adjustment=f"Holm {all_pairs}",
        )
        yield of_pair | _permuted("permutation", by_case, place)
        yield of_pair | _permuted("patient_permutation", by_patient, place)


def _effects(values: PairedValues, resamples: int, seed: int) -> Iterator[dict[str, Any]]:
    pairs = list(combinations(values.models, 2))
    differences = np.stack([values.differences(*pair) for pair in pairs], axis=1)
    sizes = effects(differences, values.patients, BETTER[values.metric], resamples=resamples, seed=seed)
    for (model, other), size in zip(pairs, sizes, strict=True):
        yield _said(values) | {"model": model, "other": other} | _columns(size)


def _columns(size: Effects) -> dict[str, float]:
    named = {"difference": size.difference, "standardised": size.standardised, "better": size.better}
    return {
        f"{name}{end}": figure
        for name, effect in named.items()
        for end, figure in (("", effect.value), ("_low", effect.low), ("_high", effect.high))
    }


def _said(values: PairedValues) -> dict[str, Any]:
    return {
        "structure": values.structure,
        "metric": values.metric,
        "model": "",
        "other": "",
        "cases": len(values.cases),
        "patients": values.patients_count,
        "left_out": values.left_out,
    }


def _row(test: str, statistic: float, p: float, **further: object) -> dict[str, Any]:
    return {"test": test, "statistic": statistic, "p": p, "p_adjusted": np.nan, "adjustment": ""} | further


def _permuted(test: str, found: Permutation, place: int) -> dict[str, Any]:
    counted = {"arrangements": found.arrangements, "exact": found.exact}
    return _row(test, float(found.statistic[place]), float(found.p[place]), **counted)


def _adjusted(tests: pd.DataFrame, ours: str) -> pd.DataFrame:
    """With Benjamini–Hochberg in the families that the module names."""
    adjusted = tests.copy()
    with_ours = tests["model"] == ours  # ours stands first in every pair that it is in
    for test in BY_FAMILY:
        for family in (with_ours, ~with_ours):
            members = (tests["test"] == test) & family
            if members.any():
                size = int(tests.loc[members, "p"].notna().sum())
                adjusted.loc[members, "p_adjusted"] = benjamini_hochberg(tests.loc[members, "p"].to_numpy())
                adjusted.loc[members, "adjustment"] = f"Benjamini–Hochberg over {size} comparisons"
    return adjusted
