"""Table of the tests whether our DSC is worse by less than a margin."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.comparison.tables.cells import number_text, p_text, synthetic_note
from gynbtnet.evaluation.reports.grouped_table import Cell, GroupedTable, Head
from gynbtnet.evaluation.statistics.adjustment import holm
from gynbtnet.evaluation.statistics.non_inferiority import non_inferiority
from gynbtnet.evaluation.statistics.paired_values import pair_values
from gynbtnet.evaluation.statistics.significance_marks import SIGNIFICANT


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
                    number_text(row["advantage"], 3).replace("-", "−"),
                    number_text(row["bound"], 3).replace("-", "−"),
                    p_text(row["p"]),
                    p_text(row["p_holm"]),
                    "not inferior" if row["not_inferior"] else "not shown",
                    number_text(row["required_patients"], 0),
                ),
            )
        )
        for row in data
    ]
    caption = (
        f"{synthetic_note(comparison)}Is the DSC of {comparison.ours} worse than another model's by less than "
        f"{margin:g}? Lower bound: one-sided 95 % bound of the difference, by patient. p: one-sided t test "
        "by patient. Holm: adjusted over all rows. Not inferior: this is below 0.05. Next study: patients that show "
        "equal models not to be inferior in 80 % of studies. Assumed: a one-sided level of 0.05, "
        "no adjustment, and patients that differ as much as here."
    )
    return GroupedTable("non_inferiority", caption, (tuple(map(Head, heads)),), (tuple(rows),), texts=2), pd.DataFrame(
        data
    )
