"""Table of effect sizes: differences between the models, with 95 % intervals by patient."""

import pandas as pd

from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.comparison.tables.cells import records, row_labels, synthetic_note, text_with_interval
from gynbtnet.evaluation.metrics.score_table import DECIMALS, METRICS, MISSING
from gynbtnet.evaluation.reports.grouped_table import Cell, GroupedTable, Head, Row
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN
from gynbtnet.runtime.phrases import enumeration


def effects_table(comparison: Comparison) -> GroupedTable:
    """Return the size of each difference, with 95 % intervals by patient."""
    heads = ("structure", "metric", "model", "compared with", "missed (both)", "false (both)", "cases", "patients")
    effects = ("difference (95 % CI)", "d_z (95 % CI)", "model better in % of cases (95 % CI)", "left out")
    groups = []
    for _, group in effects_with_counts(comparison).groupby(["structure", "metric"], sort=False):
        rows: list[Row] = []
        for row in records(group):
            missing = (f"{row[count]} / {row[f'other_{count}']}" for count in MISSING)
            counts = (*missing, str(row["cases"]), str(row["patients"]))
            sizes = (
                text_with_interval(row, "difference", DECIMALS[row["metric"]]),
                text_with_interval(row, "standardised", 2),
                text_with_interval(row, "better", 0, times=100),
            )
            cells = map(Cell, (*counts, *sizes, str(row["left_out"])))
            rows.append((*row_labels(comparison, row, first=not rows), *cells))
        groups.append(tuple(rows))
    smaller = [METRICS[metric] for metric in comparison.settings.metrics if BETTER_SIGN[metric] < 0]
    caption = (
        f"{synthetic_note(comparison)}Difference: mean of model minus the other, in the unit of the metric"
        + (f"; for {enumeration(smaller)} a negative difference favours the model" if smaller else "")
        + ". Missed and false structures: of the model / of the other. d_z: the difference divided by the SD of the "
        "differences. 95 % intervals are by patient, "
        "from leaving out each patient in turn. None is given if too few patients allow none that contains the true "
        "value in 95 % of studies. Left out: cases that only some of the models have a score for."
    )
    return GroupedTable("effects", caption, (tuple(map(Head, (*heads, *effects))),), tuple(groups), texts=4)


def effects_with_counts(comparison: Comparison) -> pd.DataFrame:
    """Return the effect sizes with the missed and false structures of both models.

    Returns:
        The effects with the columns ``missed`` and ``false`` of the model, ``other_missed`` and ``other_false`` of the
        model that it is compared with, over all cases.
    """
    counts = {
        (name, row["structure"]): row
        for name, evaluation in comparison.evaluations.items()
        for row in records(evaluation.summary)
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
