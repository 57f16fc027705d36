"""Section of a report on the statistics of several models: limits, tables and plots."""

from collections.abc import Iterator, Sequence

from gynbtnet.evaluation.reports.grouped_table import GroupedTable, html_table
from gynbtnet.pages import html_elements as html
from gynbtnet.pictures.picture import Picture


def comparison_section(
    warnings: Sequence[str], tables: Sequence[tuple[str, GroupedTable]], figures: Sequence[Picture]
) -> Iterator[str]:
    """Yield the limits of the statistics, then tables and plots.

    Args:
        warnings: limits, one sentence each.
        tables: tables, each with its heading; those of tests are not printed.
        figures: plots.
    """
    if warnings:
        yield html.bullets(warnings)
    for title, table in tables:
        rendered = html.heading(title, 3) + html_table(table) + html.paragraph(table.caption, "note")
        yield html.screen_only(rendered) if table.name.startswith("tests_") else rendered
    if figures:
        yield html.pairwise(html.figure([picture], picture.description) for picture in figures)
