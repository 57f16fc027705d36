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
        summary: one row per structure, or per structure and ``model``, with the columns of a summary; models are below
            the name of their structure. A column ``<metric>_mark`` is printed after the mean.
        metrics: metrics to print.
    """
    names = StructureNames.load()
    for metric in metrics:
        table = Table(title=METRICS[metric], title_justify="left", box=None, padding=(0, 1, 0, 0))
        for head in ("structure", *MISSING, "cases", "mean ± SD", "median [quartiles]"):
            table.add_column(head, justify="left" if head == "structure" else "right", overflow="fold")
        structure = ""
        for row in summary.to_dict("records"):
            label = names.display_name(str(row["structure"]))
            if "model" in row:  # below the name of the structure, because both would be too wide
                if label != structure:
                    table.add_row(label)
                structure, label = label, f" {row['model']}"
            counts = [str(int(row[count])) for count in (*MISSING, "cases")]
            mean = mean_and_sd(row, metric) + str(row.get(f"{metric}_mark", ""))
            table.add_row(label, *counts, mean, median_and_quartiles(row, metric))
        print_table(table)
