"""Tables of a comparison: the paper's tables 1 and 2, the p-values of every test, and the effect sizes."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.metrics.score_table import (
    DECIMALS,
    METRICS,
    MISSING,
    describe_values,
    median_and_quartiles,
)
from gynbtnet.evaluation.reports.grouped_table import Cell, GroupedTable, Head, Row
from gynbtnet.evaluation.statistics.adjustment import holm
from gynbtnet.evaluation.statistics.model_tests import TESTS
from gynbtnet.evaluation.statistics.non_inferiority import non_inferiority
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN, PairedValues, pair_values
from gynbtnet.evaluation.statistics.significance_marks import (
    SIGNIFICANT,
    STRONGLY_SIGNIFICANT,
    SignificanceMark,
    significance_mark,
)
from gynbtnet.runtime.phrases import counted, enumeration

SYNTHETIC = "Synthetic data: no patient was scanned. "
OVERALL_TESTS = ("anova", "friedman")
PAIRWISE_TESTS = ("patient_t", "patient_permutation", "permutation", "wilcoxon", "tukey")
_BY_PATIENT = ("patient_t", "patient_permutation")
_COUNTS = (*MISSING, "cases")


def summarise_models(comparison: Comparison, models: tuple[str, ...]) -> pd.DataFrame:
    """Return mean, SD, median and quartiles of every metric for each structure and model, over the compared cases.

    Args:
        comparison: the comparison.
        models: the models to summarise.

    Returns:
        One row per structure and model. The columns ``structure``, ``model``, ``missed``, ``false``, ``absent`` and
        ``unknown`` are those of a summary. ``cases`` and ``patients`` are compared, the same as in the tests.
        ``left_out`` is the number of scored cases that no test could pair. ``absences`` is the number of compared cases
        without the structure in the truth. Then follow for each metric ``<metric>_mean``,
        ``_sd``, ``_median``, ``_q1``, ``_q3``, ``_best`` and ``_mark``. ``_best`` is True if no model of ``models`` has
        a better mean, as printed. ``_mark`` is "*", "†" or empty. Only our model has one, against all others of
        ``models``, and only if its mean is better than theirs as printed.
    """
    rows: list[dict[str, Any]] = []
    summaries = {
        name: {row["structure"]: row for row in _records(comparison.evaluations[name].summary)} for name in models
    }
    for structure in comparison.structures:
        metrics = comparison.settings.metrics
        paired = {metric: pair_values(comparison.evaluations, structure, metric) for metric in metrics}
        first = paired[metrics[0]]
        for name in models:
            row: dict[str, Any] = {"structure": structure, "model": name}
            row |= {count: int(summaries[name][structure][count]) for count in ("missed", "false", "absent", "unknown")}
            row |= {"cases": len(first.cases), "patients": first.n_patients}
            row |= {"left_out": first.left_out, "absences": first.absences}
            for metric, values in paired.items():
                means = {other: _as_printed(_described(values, other)["mean"], metric) for other in models}
                row |= {f"{metric}_{key}": float(value) for key, value in _described(values, name).items()}
                row[f"{metric}_best"] = means[name] == _best(list(means.values()), metric)
                row[f"{metric}_mark"] = _mark(comparison, models, name, structure, metric, comparison.marking_test)
            rows.append(row)
    return pd.DataFrame(rows)


def _described(values: PairedValues, model: str) -> dict[str, float]:
    return describe_values(pd.Series(values.of_model(model), dtype=float))


def model_table(comparison: Comparison) -> GroupedTable | None:
    """Return models × structures × metrics, ours last, as in the paper's Table 1; None if ours has no rival."""
    if not comparison.rivals:
        return None
    models = (*comparison.rivals, comparison.ours)
    summary, metrics = summarise_models(comparison, models), comparison.settings.metrics
    labels = ("structure", "model", *_COUNTS)
    above = (*(Head("") for _ in labels), *(Head(METRICS[metric], 2) for metric in metrics))
    below = (*map(Head, labels), *(Head(kind) for _ in metrics for kind in ("mean ± SD", "median [quartiles]")))
    groups = []
    for structure, group in summary.groupby("structure", sort=False):
        rows: list[Row] = []
        for row in _records(group):
            labelled = [
                Cell("" if rows else comparison.names.display_name(str(structure))),
                Cell(_labelled(comparison, row["model"])),
            ]
            counts = [Cell(str(row[count])) for count in _COUNTS]
            cells = [cell for metric in metrics for cell in (_cell(row, metric), _median_cell(row, metric))]
            rows.append((*labelled, *counts, *cells))
        groups.append(tuple(rows))
    caption = f"{comparison.ours} compared with {enumeration(comparison.rivals)}. {_caption(comparison, models)}"
    return GroupedTable("table_1", caption, (above, below), tuple(groups), texts=2)


def pretraining_table(comparison: Comparison) -> GroupedTable | None:
    """Return metrics × structures with and without pretraining, as in the paper's Table 2.

    It is None if no model was trained from scratch.
    """
    if comparison.from_scratch is None:
        return None
    models = (comparison.from_scratch, comparison.ours)
    records = _records(summarise_models(comparison, models))
    names = [comparison.names.display_name(structure) for structure in comparison.structures]
    above = (Head("structure"), *(Head(name, len(models)) for name in names))
    below = (Head("pretraining"), *(Head(answer) for _ in names for answer in ("no", "yes")))
    rows = [(Cell(count), *(Cell(str(row[count])) for row in records)) for count in _COUNTS]
    for metric in comparison.settings.metrics:
        rows.append((Cell(METRICS[metric]), *(_cell(row, metric) for row in records)))
        rows.append((Cell("median [quartiles]"), *(_median_cell(row, metric) for row in records)))
    caption = f"{comparison.ours} with pretraining and, as {comparison.from_scratch}, without. "
    return GroupedTable("table_2", caption + _caption(comparison, models), (above, below), (tuple(rows),))


def overall_tests_table(comparison: Comparison) -> GroupedTable:
    """Return ANOVA and Friedman test of all models, for every structure and metric."""
    tests = comparison.tests.tests
    above = (Head("structure"), Head("metric"), Head("cases"), Head(TESTS["anova"], 4), Head(TESTS["friedman"], 4))
    below = (Head(""), Head(""), Head(""), *map(Head, ("F", "p", "adjusted", "η²", "χ²", "p", "adjusted", "W")))
    groups = []
    for structure in comparison.structures:
        rows: list[Row] = []
        for metric in comparison.settings.metrics:
            selected = tests[(tests["structure"] == structure) & (tests["metric"] == metric)]
            by_test = {row["test"]: row for row in _records(selected)}
            name = "" if rows else comparison.names.display_name(structure)
            cells = [Cell(name), Cell(METRICS[metric]), Cell(str(by_test["anova"]["cases"]))]
            for test in OVERALL_TESTS:
                result = by_test[test]
                cells += [Cell(_number(result["statistic"], 2)), Cell(_p(result["p"])), Cell(_p(result["p_adjusted"]))]
                cells.append(Cell(_number(result["effect"], 2)))
            rows.append(tuple(cells))
        groups.append(tuple(rows))
    models = len(comparison.evaluations)
    few = " Friedman's test needs three models." if models < 3 else ""
    caption = (
        f"{_synthetic(comparison)}Tests of the hypothesis that all {models} models are equal. Adjusted: by "
        "Benjamini–Hochberg over all structures and metrics, for each test. ANOVA treats all values as independent; "
        f"Friedman's test pairs the cases; neither accounts for patients.{few} η²: share of the variance that is "
        "between models. W: agreement of the cases on the ranks of the models, 0 to 1. These two have no interval: "
        "neither can be below 0, so that an interval from resamples never contains 0."
    )
    return GroupedTable("tests_of_all", caption, (above, below), tuple(groups), texts=2)


def pairwise_tests_table(comparison: Comparison) -> GroupedTable:
    """Return p-values of every test of every pair of models, raw and adjusted."""
    tests = comparison.tests.tests
    pairs = tests[tests["test"].isin(PAIRWISE_TESTS)]
    above = (*(Head("") for _ in range(5)), *(Head(TESTS[test], 2) for test in PAIRWISE_TESTS))
    below = (
        *map(Head, ("structure", "metric", "model", "compared with", "cases")),
        *(Head(kind) for _ in PAIRWISE_TESTS for kind in ("p", "adjusted")),
    )
    groups = []
    for _, group in pairs.groupby(["structure", "metric"], sort=False):
        rows: list[Row] = []
        for _, pair in group.groupby(["model", "other"], sort=False):
            by_test = {row["test"]: row for row in _records(pair)}
            cells = _labels(comparison, by_test[PAIRWISE_TESTS[0]], first=not rows)
            cells.append(Cell(str(by_test[PAIRWISE_TESTS[0]]["cases"])))
            for test in PAIRWISE_TESTS:
                cells += [Cell(_p(by_test[test]["p"])), Cell(_p(by_test[test]["p_adjusted"]))]
            rows.append(tuple(cells))
        groups.append(tuple(rows))
    used = dict.fromkeys(f"{TESTS[test]}, {_adjustment(comparison, test)}" for test in PAIRWISE_TESTS)
    caption = (
        f"{_synthetic(comparison)}Two-sided p-values of every pair of models. {'; '.join(used)}. The raw p of Tukey's "
        "test is that of t with the SD pooled over all models."
    )
    return GroupedTable("tests_of_pairs", caption, (above, below), tuple(groups), texts=4)


def effects_with_counts(comparison: Comparison) -> pd.DataFrame:
    """Return the effect sizes with the missed and false structures of both models.

    Returns:
        The effects with the columns ``missed`` and ``false`` of the model, ``other_missed`` and ``other_false`` of the
        model that it is compared with, over all cases.
    """
    counts = {
        (name, row["structure"]): row
        for name, evaluation in comparison.evaluations.items()
        for row in _records(evaluation.summary)
    }
    effects = comparison.tests.effects
    columns = {
        f"{prefix}{count}": [
            int(counts[name, structure][count])
            for name, structure in zip(effects[model], effects["structure"], strict=True)
        ]
        for prefix, model in (("", "model"), ("other_", "other"))
        for count in MISSING
    }
    return effects.assign(**columns)


def effects_table(comparison: Comparison) -> GroupedTable:
    """Return the size of each difference, with 95 % intervals by patient."""
    heads = ("structure", "metric", "model", "compared with", "missed (both)", "false (both)", "cases", "patients")
    effects = ("difference (95 % CI)", "d_z (95 % CI)", "model better in % of cases (95 % CI)", "left out")
    groups = []
    for _, group in effects_with_counts(comparison).groupby(["structure", "metric"], sort=False):
        rows: list[Row] = []
        for row in _records(group):
            missing = (f"{row[count]} / {row[f'other_{count}']}" for count in MISSING)
            counts = (*missing, str(row["cases"]), str(row["patients"]))
            sizes = (
                _with_interval(row, "difference", DECIMALS[row["metric"]]),
                _with_interval(row, "standardised", 2),
                _with_interval(row, "better", 0, times=100),
            )
            cells = map(Cell, (*counts, *sizes, str(row["left_out"])))
            rows.append((*_labels(comparison, row, first=not rows), *cells))
        groups.append(tuple(rows))
    smaller = [METRICS[metric] for metric in comparison.settings.metrics if BETTER_SIGN[metric] < 0]
    caption = (
        f"{_synthetic(comparison)}Difference: mean of model minus the other, in the unit of the metric"
        + (f"; for {enumeration(smaller)} a negative difference favours the model" if smaller else "")
        + ". Missed and false structures: of the model / of the other. d_z: the difference divided by the SD of the "
        "differences. 95 % intervals are by patient, "
        "from leaving out each patient in turn. None is given if too few patients allow none that contains the true "
        "value in 95 % of studies. Left out: cases that only some of the models have a score for."
    )
    return GroupedTable("effects", caption, (tuple(map(Head, (*heads, *effects))),), tuple(groups), texts=4)


def _mark(
    comparison: Comparison, models: tuple[str, ...], name: str, structure: str, metric: str, test: str
) -> SignificanceMark:
    """Return the significance mark of a cell; only our model has one, if every compared model may carry one."""
    if name != comparison.ours or any(model in comparison.unmarked for model in models):
        return ""
    others = [other for other in models if other != comparison.ours]
    values = pair_values(comparison.evaluations, structure, metric)
    means = {model: _as_printed(_described(values, model)["mean"], metric) for model in models}
    if not all(BETTER_SIGN[metric] * (means[name] - means[other]) > 0 for other in others):
        return ""
    if _fails_more_than_some(comparison, others, structure):
        return ""
    return significance_mark(comparison.tests, test, comparison.ours, others, structure, metric)


def non_inferiority_table(comparison: Comparison) -> tuple[GroupedTable, pd.DataFrame] | None:
    """Return the tests whether our DSC is worse by less than the margin, and their data; None without a margin."""
    margin = comparison.settings.margin
    if margin is None:
        return None
    data: list[dict[str, Any]] = []
    for structure in comparison.structures:
        values = pair_values(comparison.evaluations, structure, "dsc")
        for other in (name for name in comparison.evaluations if name != comparison.ours):
            result = non_inferiority(values.differences(comparison.ours, other), values.patients, 1, margin)
            row = {"structure": structure, "model": comparison.ours, "other": other, "patients": values.n_patients}
            data.append(row | {"margin": margin} | asdict(result))
    for row, p in zip(data, holm([row["p"] for row in data]).tolist(), strict=True):
        row |= {"p_holm": p, "not_inferior": p < SIGNIFICANT}
    heads = (
        "structure",
        "compared with",
        "patients",
        "difference",
        "lower bound",
        "p",
        "p, Holm",
        "result",
        "next study",
    )
    rows = [
        tuple(
            map(
                Cell,
                (
                    comparison.names.display_name(row["structure"]),
                    row["other"],
                    str(row["patients"]),
                    _number(row["advantage"], 3).replace("-", "−"),
                    _number(row["bound"], 3).replace("-", "−"),
                    _p(row["p"]),
                    _p(row["p_holm"]),
                    "not inferior" if row["not_inferior"] else "not shown",
                    _number(row["required_patients"], 0),
                ),
            )
        )
        for row in data
    ]
    caption = (
        f"{_synthetic(comparison)}Is the DSC of {comparison.ours} worse than another model's by less than {margin:g}? "
        "Lower bound: one-sided 95 % bound of the difference, by patient. p: one-sided t test "
        "by patient. Holm: adjusted over all rows. Not inferior: this is below 0.05. Next study: patients that show "
        "equal models not to be inferior in 80 % of studies. Assumed: a one-sided level of 0.05, "
        "no adjustment, and patients that differ as much as here."
    )
    return GroupedTable("non_inferiority", caption, (tuple(map(Head, heads)),), (tuple(rows),), texts=2), pd.DataFrame(
        data
    )


def _fails_more_than_some(comparison: Comparison, others: Sequence[str], structure: str) -> bool:
    """Return whether failures that the policy drops are more than those of another model: means can't show them."""
    if comparison.evaluations[comparison.ours].settings.missing_structure_policy != "drop":
        return False
    failures = {
        model: sum(s.structure == structure and s.missing_in in ("prediction", "truth") for s in evaluation.scores)
        for model, evaluation in comparison.evaluations.items()
    }
    return any(failures[comparison.ours] > failures[other] for other in others)


def _labelled(comparison: Comparison, model: str) -> str:
    """Return the name of a model, and the reason if it carries no significance mark."""
    reason = comparison.unmarked.get(model)
    return f"{model} ({reason})" if reason else model


def _labels(comparison: Comparison, row: dict[str, Any], *, first: bool) -> list[Cell]:
    """Return structure and metric, which only the first row of a group shows, and the two models."""
    return [
        Cell(comparison.names.display_name(row["structure"]) if first else ""),
        Cell(METRICS[row["metric"]] if first else ""),
        Cell(row["model"]),
        Cell(row["other"]),
    ]


def _cell(row: dict[str, Any], metric: str) -> Cell:
    mean, sd, decimals = row[f"{metric}_mean"], row[f"{metric}_sd"], DECIMALS[metric]
    if np.isnan(mean):
        return Cell("–")
    text = f"{mean:.{decimals}f}" if np.isnan(sd) else f"{mean:.{decimals}f} ± {sd:.{decimals}f}"
    return Cell(text, row[f"{metric}_best"], row[f"{metric}_mark"])


def _median_cell(row: dict[str, Any], metric: str) -> Cell:
    return Cell(median_and_quartiles(row, metric))


def _as_printed(mean: float, metric: str) -> float:
    return float(f"{mean:.{DECIMALS[metric]}f}")


def _best(means: list[float], metric: str) -> float:
    known = [mean for mean in means if not np.isnan(mean)]
    return (max if BETTER_SIGN[metric] > 0 else min)(known, default=float("nan"))


def _caption(comparison: Comparison, models: tuple[str, ...]) -> str:
    return "".join(_caption_sentences(comparison, models))


def _caption_sentences(comparison: Comparison, models: tuple[str, ...]) -> Iterator[str]:
    ours, test = comparison.ours, comparison.marking_test
    cases, patients = len(comparison.cohort.cases), len(comparison.cohort.patients)
    yield _synthetic(comparison)
    yield "Mean ± SD and median [quartiles] over the compared cases, the same for every model "
    yield f"({counted(cases, 'case')} of {counted(patients, 'patient')} in all). "
    yield f"Bold: best mean. * p < {SIGNIFICANT:g}, † p < {STRONGLY_SIGNIFICANT:g}: {ours} is better than "
    yield "the other model" if len(models) == 2 else "every other model of this table, each comparison having such a p"
    yield f". p from the {TESTS[test]}, {_adjustment(comparison, test)}. "
    if test not in _BY_PATIENT:
        yield _clustering_sentence(comparison, models)
    policy = comparison.evaluations[ours].settings.missing_structure_policy
    unmarked = [_labelled(comparison, model) for model in models if model in comparison.unmarked]
    if unmarked:
        yield f"Nothing is marked, because of {enumeration(unmarked)}. "
    yield "Missed: in the reference, not predicted. False: predicted, not in the reference. "
    yield f"With the policy {policy} both are {'left out' if policy == 'drop' else 'scored'}."
    if policy == "drop":
        yield " A structure isn't marked if our model missed it or predicted it falsely more often than another."
    absences = {row["structure"]: row["absences"] for row in _records(comparison.tests.effects) if row["absences"]}
    if absences:
        counts = ", ".join(f"{count} of {comparison.names.display_name(name)}" for name, count in absences.items())
        yield f" The reference lacks the structure, and some model predicted it, in {counts}: a model that rightly "
        yield "predicted none counts as DSC 1 and distance 0."
    left_out = {structure: count for structure, count in _left_out(comparison).items() if count}
    if left_out:
        counts = ", ".join(f"{count} of {comparison.names.display_name(name)}" for name, count in left_out.items())
        yield f" The tests leave out {counts}: cases that only some of the models have a score for."


def _clustering_sentence(comparison: Comparison, models: tuple[str, ...]) -> str:
    """Return how many significance marks remain in a test by patient; empty without any mark."""
    ours, test = comparison.ours, comparison.marking_test
    cells = [(structure, metric) for structure in comparison.structures for metric in comparison.settings.metrics]
    marked = [cell for cell in cells if _mark(comparison, models, ours, *cell, test)]
    remaining = sum(bool(_mark(comparison, models, ours, *cell, comparison.patient_test)) for cell in marked)
    if not marked:
        return ""
    return (
        "This test treats the fractions of a patient as independent, which they are not. By the "
        f"{TESTS[comparison.patient_test]}, {remaining} of the {counted(len(marked), 'marked value')} would be marked. "
    )


def _adjustment(comparison: Comparison, test: str) -> str:
    """Return the adjustment of a test's p-values for our model, and the number of swaps of a permutation test."""
    tests = comparison.tests.tests
    selected = tests[(tests["test"] == test) & (tests["model"] == comparison.ours)]
    adjustment = selected["adjustment"].iloc[0]
    if test == "tukey":
        return f"which allows for {adjustment.removeprefix('Tukey over ')} of models within a structure and metric"
    if test == "wilcoxon":
        return f"after Friedman's test, {adjustment} of models within a structure and metric"
    others = " (separately: comparisons of the other models)" if len(comparison.evaluations) > 2 else ""
    family = f"{adjustment} with {comparison.ours} in all structures and metrics{others}"
    if test == "patient_t":
        return family
    sampled, complete = selected[~selected["exact"]], selected[selected["exact"]]
    swaps = []
    if len(complete):
        swaps.append(f"all {complete['n_permutations'].max():,} swaps")
    if len(sampled):
        swaps.append(f"{sampled['n_permutations'].max():,} random swaps, seed {comparison.settings.seed}")
    return f"{' or '.join(swaps)}, {family}"


def _synthetic(comparison: Comparison) -> str:
    return SYNTHETIC if comparison.cohort.synthetic else ""


def _with_interval(row: dict[str, Any], name: str, decimals: int, times: float = 1) -> str:
    value, low, high = (times * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if np.isnan(value):
        return "–"
    form = f"{{:.{decimals}f}}"
    text = form.format(value) + ("" if np.isnan(low) else f" ({form.format(low)} to {form.format(high)})")
    return text.replace("-", "−")


def _left_out(comparison: Comparison) -> dict[str, int]:
    """Return the number of scored cases that can't be paired, by structure."""
    return {row["structure"]: row["left_out"] for row in _records(comparison.tests.effects)}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _p(value: float) -> str:
    if np.isnan(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if np.isfinite(value) else "–"
