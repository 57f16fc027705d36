"""The paper's tables 1 and 2: the models on every structure and metric, and the effect of pretraining."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.comparison.tables.cells import adjustment_phrase, records, synthetic_note
from gynbtnet.evaluation.comparison.tables.model_summary import model_mark, summarise_models
from gynbtnet.evaluation.metrics.score_table import DECIMALS, METRICS, MISSING, median_and_quartiles
from gynbtnet.evaluation.reports.grouped_table import Cell, GroupedTable, Head, Row
from gynbtnet.evaluation.statistics.model_tests import TESTS
from gynbtnet.evaluation.statistics.significance_marks import SIGNIFICANT, STRONGLY_SIGNIFICANT
from gynbtnet.runtime.phrases import counted, enumeration

_BY_PATIENT = ("patient_t", "patient_permutation")
_COUNTS = (*MISSING, "cases")


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
        for row in records(group):
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
    summary = records(summarise_models(comparison, models))
    names = [comparison.names.display_name(structure) for structure in comparison.structures]
    above = (Head("structure"), *(Head(name, len(models)) for name in names))
    below = (Head("pretraining"), *(Head(answer) for _ in names for answer in ("no", "yes")))
    rows = [(Cell(count), *(Cell(str(row[count])) for row in summary)) for count in _COUNTS]
    for metric in comparison.settings.metrics:
        rows.append((Cell(METRICS[metric]), *(_cell(row, metric) for row in summary)))
        rows.append((Cell("median [quartiles]"), *(_median_cell(row, metric) for row in summary)))
    caption = f"{comparison.ours} with pretraining and, as {comparison.from_scratch}, without. "
    return GroupedTable("table_2", caption + _caption(comparison, models), (above, below), (tuple(rows),))


def _cell(row: dict[str, Any], metric: str) -> Cell:
    mean, sd, decimals = row[f"{metric}_mean"], row[f"{metric}_sd"], DECIMALS[metric]
    if np.isnan(mean):
        return Cell("–")
    text = f"{mean:.{decimals}f}" if np.isnan(sd) else f"{mean:.{decimals}f} ± {sd:.{decimals}f}"
    return Cell(text, row[f"{metric}_best"], row[f"{metric}_mark"])


def _median_cell(row: dict[str, Any], metric: str) -> Cell:
    return Cell(median_and_quartiles(row, metric))


def _labelled(comparison: Comparison, model: str) -> str:
    """Return the name of a model, and the reason if it carries no significance mark."""
    reason = comparison.unmarked.get(model)
    return f"{model} ({reason})" if reason else model


def _caption(comparison: Comparison, models: tuple[str, ...]) -> str:
    return "".join(_caption_sentences(comparison, models))


def _caption_sentences(comparison: Comparison, models: tuple[str, ...]) -> Iterator[str]:
    ours, test = comparison.ours, comparison.marking_test
    cases, patients = len(comparison.cohort.cases), len(comparison.cohort.patients)
    yield synthetic_note(comparison)
    yield "Mean ± SD and median [quartiles] over the compared cases, the same for every model "
    yield f"({counted(cases, 'case')} of {counted(patients, 'patient')} in all). "
    yield f"Bold: best mean. * p < {SIGNIFICANT:g}, † p < {STRONGLY_SIGNIFICANT:g}: {ours} is better than "
    yield "the other model" if len(models) == 2 else "every other model of this table, each comparison having such a p"
    yield f". p from the {TESTS[test]}, {adjustment_phrase(comparison, test)}. "
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
    absences = {row["structure"]: row["absences"] for row in records(comparison.tests.effects) if row["absences"]}
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
    marked = [cell for cell in cells if model_mark(comparison, models, ours, *cell, test)]
    remaining = sum(bool(model_mark(comparison, models, ours, *cell, comparison.patient_test)) for cell in marked)
    if not marked:
        return ""
    return (
        "This test treats the fractions of a patient as independent, which they are not. By the "
        f"{TESTS[comparison.patient_test]}, {remaining} of the {counted(len(marked), 'marked value')} would be marked. "
    )


def _left_out(comparison: Comparison) -> dict[str, int]:
    """Return the number of scored cases that can't be paired, by structure."""
    return {row["structure"]: row["left_out"] for row in records(comparison.tests.effects)}
