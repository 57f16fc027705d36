"""Section of a report on the statistics of several models: limits, tables and plots."""

from collections.abc import Iterator, Sequence

from gynbtnet.evaluation.reports.grouped_table import GroupedTable, html_table
from gynbtnet.pages import html_elements as html
from gynbtnet.pictures.picture import Picture
from gynbtnet.runtime.phrases import counted

OPEN = ("table_1", "table_2", "non_inferiority")
"""Names of the tables that are open; the others open on a click."""
_NOT_PRINTED = ("tests_of_pairs", "tests_of_all")
_MOST_ROWS_PRINTED = 30


def comparison_section(
    warnings: Sequence[str], tables: Sequence[tuple[str, GroupedTable]], figures: Sequence[Picture]
) -> Iterator[str]:
    """Yield the limits of the statistics, then tables and plots.

    Args:
        warnings: limits, one sentence each.
        tables: tables, each with its heading; p-values of tests and long tables are not printed.
        figures: plots, which open on a click.
    """
    if warnings:
        yield html.bullets(warnings)
    for title, table in tables:
        content = html_table(table) + html.paragraph(table.caption, "note")
        if table.name in OPEN:
            yield html.heading(title, 3) + content
        else:
            rows = len(tuple(table.rows))
            is_printed = table.name not in _NOT_PRINTED and rows <= _MOST_ROWS_PRINTED
            yield html.details(f"{title} ({counted(rows, 'row')})", content, on_paper=is_printed)
    if figures:
        plots = html.pairwise(html.figure([picture], picture.description) for picture in figures)
        yield html.details(f"Plots ({len(figures)})", plots, on_paper=True)
