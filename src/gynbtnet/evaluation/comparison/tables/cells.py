"""Texts in cells and captions that several tables of a comparison share."""

from typing import Any

import numpy as np
import pandas as pd

from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.metrics.score_table import METRICS
from gynbtnet.evaluation.reports.grouped_table import Cell

SYNTHETIC = "Synthetic data: no patient was scanned. "


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table, each as values by column."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def synthetic_note(comparison: Comparison) -> str:
    """Return the sentence with which a caption begins if the data are synthetic; otherwise empty."""
    return SYNTHETIC if comparison.cohort.synthetic else ""


def row_labels(comparison: Comparison, row: dict[str, Any], *, first: bool) -> list[Cell]:
    """Return structure and metric, which only the first row of a group shows, and the two models."""
    return [
        Cell(comparison.names.display_name(row["structure"]) if first else ""),
        Cell(METRICS[row["metric"]] if first else ""),
        Cell(row["model"]),
        Cell(row["other"]),
    ]


def p_text(value: float) -> str:
    """Return a p-value as printed; a dash for NaN."""
    if np.isnan(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def number_text(value: float, decimals: int) -> str:
    """Return a number as printed; a dash if it is NaN or infinite."""
    return f"{value:.{decimals}f}" if np.isfinite(value) else "–"


def text_with_interval(row: dict[str, Any], name: str, decimals: int, times: float = 1) -> str:
    """Return ``0.10 (0.05 to 0.15)`` of a row, each value multiplied by ``times``; the value alone without interval."""
    value, low, high = (times * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if np.isnan(value):
        return "–"
    form = f"{{:.{decimals}f}}"
    text = form.format(value) + ("" if np.isnan(low) else f" ({form.format(low)} to {form.format(high)})")
    return text.replace("-", "−")


def adjustment_phrase(comparison: Comparison, test: str) -> str:
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
