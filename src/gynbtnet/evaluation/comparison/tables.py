"""A comparison as tables: the paper's Table 1 and 2, every test's p-values, and the effects."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.metrics.score_table import DECIMALS, METRICS
from gynbtnet.evaluation.reports.grouped_table import Cell, GroupedTable, Head, Row
from gynbtnet.evaluation.statistics.model_tests import TESTS
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN
from gynbtnet.evaluation.statistics.significance_marks import (
    SIGNIFICANT,
    STRONGLY_SIGNIFICANT,
    SignificanceMark,
    significance_mark,
)
from gynbtnet.runtime.phrases import enumeration

SYNTHETIC = "Synthetic data: no patient was scanned. "
OF_ALL = ("anova", "friedman")
OF_PAIRS = ("tukey", "wilcoxon", "permutation", "patient_permutation")


def summarise_models(comparison: Comparison, models: tuple[str, ...]) -> pd.DataFrame:
    """A row a structure and model.

    Columns: ``structure``, ``model``; for each metric ``<metric>_mean``, ``_sd``, ``_best`` (whether no model of
    ``models`` has a better mean, as printed) and ``_mark`` (of ours: "*", "†" or empty, against all others of
    ``models``); ``cases`` and ``patients`` that were scored, ``missed``, ``false``, ``absent`` and ``unknown`` as in a
    summary; ``left_out``: scored cases that no test could pair.
    """
    rows: list[dict[str, Any]] = []
    summaries = {
        name: {row["structure"]: row for row in _records(comparison.evaluations[name].summary)} for name in models
    }
    left_out = _left_out(comparison)
    for structure in comparison.structures:
        of_models = [summaries[name][structure] for name in models]
        for name, figures in zip(models, of_models, strict=True):
            row: dict[str, Any] = {"structure": structure, "model": name}
            for metric in comparison.settings.metrics:
                means = [_as_printed(one[f"{metric}_mean"], metric) for one in of_models]
                row |= {f"{metric}_{figure}": float(figures[f"{metric}_{figure}"]) for figure in ("mean", "sd")}
                row[f"{metric}_best"] = _as_printed(row[f"{metric}_mean"], metric) == _best(means, metric)
                row[f"{metric}_mark"] = _mark(
                    comparison, models, name, structure, metric, comparison.settings.significance_test
                )
            counts = ("cases", "patients", "missed", "false", "absent", "unknown")
            row |= {count: int(figures[count]) for count in counts}
            rows.append(row | {"left_out": left_out[structure]})
    return pd.DataFrame(rows)


def model_table(comparison: Comparison) -> GroupedTable | None:
    """Models × structures × metrics, ours last, as the paper's Table 1; None where ours has no rival."""
    if not comparison.rivals:
        return None
    models = (*comparison.rivals, comparison.ours)
    figures, metrics = summarise_models(comparison, models), comparison.settings.metrics
    heads = ["structure", "model", *(METRICS[metric] for metric in metrics), "cases", "missed", "false"]
    groups = []
    for structure, of_structure in figures.groupby("structure", sort=False):
        rows: list[Row] = []
        for row in _records(of_structure):
            words = [Cell("" if rows else str(structure)), Cell(row["model"])]
            counts = [Cell(str(row[count])) for count in ("cases", "missed", "false")]
            rows.append((*words, *(_cell(row, metric) for metric in metrics), *counts))
        groups.append(tuple(rows))
    caption = f"{comparison.ours} beside {enumeration(comparison.rivals)}. {_caption(comparison, models)}"
    return GroupedTable("table_1", caption, (tuple(map(Head, heads)),), tuple(groups), texts=2)


def pretraining_table(comparison: Comparison) -> GroupedTable | None:
    """Metrics × structures, without and with pretraining, as the paper's Table 2; None where all have pretraining."""
    if comparison.from_scratch is None:
        return None
    models = (comparison.from_scratch, comparison.ours)
    figures = summarise_models(comparison, models)
    structures, records = comparison.structures, _records(figures)
    above = (Head("structure"), *(Head(structure, len(models)) for structure in structures))
    below = (Head("pretraining"), *(Head(words) for _ in structures for words in ("no", "yes")))
    rows = [(Cell(METRICS[metric]), *(_cell(row, metric) for row in records)) for metric in comparison.settings.metrics]
    rows += [(Cell(count), *(Cell(str(row[count])) for row in records)) for count in ("cases", "missed", "false")]
    caption = f"{comparison.ours} with pretraining and, as {comparison.from_scratch}, without. "
    return GroupedTable("table_2", caption + _caption(comparison, models), (above, below), (tuple(rows),))


def tests_of_all(comparison: Comparison) -> GroupedTable:
    """ANOVA and Friedman of every structure and metric."""
    tests = comparison.tests.tests
    above = (Head("structure"), Head("metric"), Head("cases"), Head(TESTS["anova"], 4), Head(TESTS["friedman"], 4))
    below = (Head(""), Head(""), Head(""), *map(Head, ("F", "p", "adjusted", "η²", "χ²", "p", "adjusted", "W")))
    groups = []
    for structure in comparison.structures:
        rows: list[Row] = []
        for metric in comparison.settings.metrics:
            of_cell = tests[(tests["structure"] == structure) & (tests["metric"] == metric)]
            by_test = {row["test"]: row for row in _records(of_cell)}
            cells = [Cell("" if rows else structure), Cell(METRICS[metric]), Cell(str(by_test["anova"]["cases"]))]
            for test in OF_ALL:
                found = by_test[test]
                cells += [Cell(_number(found["statistic"], 2)), Cell(_p(found["p"])), Cell(_p(found["p_adjusted"]))]
                cells.append(Cell(_number(found["effect"], 2)))
            rows.append(tuple(cells))
        groups.append(tuple(rows))
    models = len(comparison.evaluations)
    few = " Friedman's test needs three models." if models < 3 else ""
    caption = (
        f"{_synthetic(comparison)}Whether any of {models} models differ. Adjusted: by Benjamini–Hochberg over all "
        f"structures and metrics, for each test. ANOVA takes all values as independent; Friedman pairs the cases; "
        f"neither knows patients.{few} η²: the share of all variance that lies between models; W: how alike the cases "
        "rank them, 0 to 1. They have no interval: neither can be below 0, so that one from resamples never holds 0."
    )
    return GroupedTable("tests_of_all", caption, (above, below), tuple(groups), texts=2)


def tests_of_pairs(comparison: Comparison) -> GroupedTable:
    """p-values of every test of every pair of models, raw and adjusted."""
    tests = comparison.tests.tests
    pairs = tests[tests["test"].isin(OF_PAIRS)]
    above = (*(Head("") for _ in range(5)), *(Head(TESTS[test], 2) for test in OF_PAIRS))
    below = (
        *map(Head, ("structure", "metric", "model", "against", "cases")),
        *(Head(words) for _ in OF_PAIRS for words in ("p", "adjusted")),
    )
    groups = []
    for _, of_cell in pairs.groupby(["structure", "metric"], sort=False):
        rows: list[Row] = []
        for _, of_pair in of_cell.groupby(["model", "other"], sort=False):
            by_test = {row["test"]: row for row in _records(of_pair)}
            cells = _words(by_test[OF_PAIRS[0]], not rows)
            cells.append(Cell(str(by_test[OF_PAIRS[0]]["cases"])))
            for test in OF_PAIRS:
                cells += [Cell(_p(by_test[test]["p"])), Cell(_p(by_test[test]["p_adjusted"]))]
            rows.append(tuple(cells))
        groups.append(tuple(rows))
    used = dict.fromkeys(f"{TESTS[test]}, {_adjustment(comparison, test)}" for test in OF_PAIRS)
    caption = (
        f"{_synthetic(comparison)}Two-sided p-values of every pair of models. {'; '.join(used)}. The raw p beside "
        "Tukey's is of t with the SD pooled over all models."
    )
    return GroupedTable("tests_of_pairs", caption, (above, below), tuple(groups), texts=4)


def effects_table(comparison: Comparison) -> GroupedTable:
    """How large each difference is, with 95 % intervals by patient."""
    heads = ("structure", "metric", "model", "against", "cases", "patients")
    figures = ("difference (95 % CI)", "d_z (95 % CI)", "model better in % of cases (95 % CI)", "left out")
    groups = []
    for _, of_cell in comparison.tests.effects.groupby(["structure", "metric"], sort=False):
        rows: list[Row] = []
        for row in _records(of_cell):
            counts = (str(row["cases"]), str(row["patients"]))
            sizes = (
                _with_interval(row, "difference", DECIMALS[row["metric"]]),
                _with_interval(row, "standardised", 2),
                _with_interval(row, "better", 0, times=100),
            )
            rows.append((*_words(row, not rows), *map(Cell, (*counts, *sizes, str(row["left_out"])))))
        groups.append(tuple(rows))
    smaller = [METRICS[metric] for metric in comparison.settings.metrics if BETTER_SIGN[metric] < 0]
    caption = (
        f"{_synthetic(comparison)}Mean difference, model minus the other, in the metric's unit"
        + (f"; of {enumeration(smaller)} a negative one favours the model" if smaller else "")
        + f". d_z: the same over the SD of the differences. 95 % intervals from {comparison.settings.n_resamples:,} "
        "resamples of patients, each with all cases, expanded for the number of patients. Left out: cases that some "
        "models have a score for and others haven't."
    )
    return GroupedTable("effects", caption, (tuple(map(Head, (*heads, *figures))),), tuple(groups), texts=4)


def _mark(
    comparison: Comparison, models: tuple[str, ...], name: str, structure: str, metric: str, test: str
) -> SignificanceMark:
    if name != comparison.ours:
        return ""
    others = [one for one in models if one != comparison.ours]
    return significance_mark(comparison.tests, test, comparison.ours, others, structure, metric)


def _words(row: dict[str, Any], first: bool) -> list[Cell]:
    """Structure and metric in the first row of a group, and the two models."""
    return [
        Cell(row["structure"] if first else ""),
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


def _as_printed(mean: float, metric: str) -> float:
    return float(f"{mean:.{DECIMALS[metric]}f}")


def _best(means: list[float], metric: str) -> float:
    known = [mean for mean in means if not np.isnan(mean)]
    return (max if BETTER_SIGN[metric] > 0 else min)(known, default=float("nan"))


def _caption(comparison: Comparison, models: tuple[str, ...]) -> str:
    return "".join(_sentences(comparison, models))


def _sentences(comparison: Comparison, models: tuple[str, ...]) -> Iterator[str]:
    ours, test = comparison.ours, comparison.settings.significance_test
    cases, patients = len(comparison.cohort.cases), len(comparison.cohort.patients)
    yield _synthetic(comparison)
    yield f"Mean ± SD over the scored of {_many(cases, 'case')} of {_many(patients, 'patient')}; bold: the best mean. "
    yield f"* p < {SIGNIFICANT:g}, † p < {STRONGLY_SIGNIFICANT:g}: {ours} is better than "
    yield "the other model" if len(models) == 2 else "every other model of this table, each comparison being below that"
    yield f". p from the {TESTS[test]}, {_adjustment(comparison, test)}. "
    if test != "patient_permutation":
        cells = [(structure, metric) for structure in comparison.structures for metric in comparison.settings.metrics]
        marked = [cell for cell in cells if _mark(comparison, models, ours, *cell, test)]
        standing = sum(bool(_mark(comparison, models, ours, *cell, "patient_permutation")) for cell in marked)
        if marked:
            yield f"Of the {_many(len(marked), 'marked figure')}, {standing} would be marked if whole patients were "
            yield "swapped, which the fractions of one patient call for. "
    policy = comparison.evaluations[ours].settings.missing_structure_policy
    yield "Missed: in the truth, not predicted; false: predicted, not in the truth; "
    yield f"by the policy {policy} both are {'left out' if policy == 'drop' else 'scored'}."
    left_out = _left_out(comparison)
    if any(left_out.values()):
        told = ", ".join(f"{count} of {structure}" for structure, count in left_out.items() if count)
        yield f" The tests leave out {told}: cases that some models have a score for and others haven't."


def _adjustment(comparison: Comparison, test: str) -> str:
    """By what a test's p-values of ours are adjusted, and how many swaps stand behind them."""
    tests = comparison.tests.tests
    of_test = tests[(tests["test"] == test) & (tests["model"] == comparison.ours)]
    adjustment = of_test["adjustment"].iloc[0]
    if test == "tukey":
        return f"which allows for {adjustment.removeprefix('Tukey over ')} of models within a structure and metric"
    if test == "wilcoxon":
        return f"after Friedman's test, {adjustment} of models within a structure and metric"
    drawn, counted = of_test[~of_test["exact"]], of_test[of_test["exact"]]
    swaps = []
    if len(counted):
        swaps.append(f"all {counted['n_permutations'].max():,} swaps")
    if len(drawn):
        swaps.append(f"{drawn['n_permutations'].max():,} random swaps, seed {comparison.settings.seed}")
    of_others = " (those of the others among themselves apart)" if len(comparison.evaluations) > 2 else ""
    return f"{' or '.join(swaps)}, {adjustment} with {comparison.ours} in all structures and metrics{of_others}"


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
    """Of each structure the scored cases that can't be paired."""
    return {row["structure"]: row["left_out"] for row in _records(comparison.tests.effects)}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _p(value: float) -> str:
    if np.isnan(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if np.isfinite(value) else "–"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
