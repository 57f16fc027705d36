"""Tables of metrics for a terminal of 80 columns: one table per metric."""

from collections.abc import Sequence

import pandas as pd
from rich.table import Table

from gynbtnet.cli.application import print_table
from gynbtnet.evaluation.metrics.score_table import METRICS, MISSING, mean_and_sd, median_and_quartiles
from gynbtnet.imaging.structure_names import StructureNames


def print_metrics(summary: pd.DataFrame, metrics: Sequence[str]) -> None:
    """Print mean ± SD and median [quartiles] of each metric, after the counts of missed and false structures.

    Args:
        summary: one row per structure, or per structure and ``model``, with the columns of a summary; a column
            ``<metric>_mark`` is printed after the mean.
        metrics: metrics to print.
    """
    names = StructureNames.load()
    labels = ("structure", "model") if "model" in summary else ("structure",)
    for metric in metrics:
        table = Table(title=METRICS[metric], title_justify="left", box=None, padding=(0, 1, 0, 0))
        for number, head in enumerate((*labels, *MISSING, "cases", "mean ± SD", "median [quartiles]")):
            table.add_column(head, justify="left" if number < len(labels) else "right", overflow="fold")
        for row in summary.to_dict("records"):
            texts = [names.display_name(str(row["structure"])), *(str(row[label]) for label in labels[1:])]
            counts = [str(int(row[count])) for count in (*MISSING, "cases")]
            mean = mean_and_sd(row, metric) + str(row.get(f"{metric}_mark", ""))
            table.add_row(*texts, *counts, mean, median_and_quartiles(row, metric))
        print_table(table)
