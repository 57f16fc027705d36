"""Tables of a model, and its parts of a section: people read display names, the CSV files have identifiers."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from gynbtnet.evaluation.reports.model_results import ModelResults
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html
from gynbtnet.runtime.phrases import counted


def full_table(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    names: StructureNames,
    *,
    structure: int,
    numbers: slice,
    file: str,
) -> str:
    """Return a long table that opens on a click, with its number of rows in the title.

    Args:
        title: title without the number of rows.
        heads: names of the columns.
        rows: the cells of each row; structures by identifier.
        names: names of the structures.
        structure: column of the structure.
        numbers: columns that are aligned right.
        file: name of the CSV file.
    """
    shown = with_display_names(rows, structure, names)
    table = html.table(heads, shown, numbers=numbers, download=file, data=rows)
    return html.details(f"{title} ({counted(len(rows), 'row')})", table)


def part_of_model(model: ModelResults, parts: Iterable[str], finding: str = "") -> str:
    """Return a part of a section that is about one model; it opens on a click if the page has several models.

    Args:
        model: the model.
        parts: the part as HTML.
        finding: the result in a few words, shown next to the name of the model.
    """
    content = "".join(parts)
    if not model.name:
        return content
    return html.details(f"{model.name}: {finding}" if finding else model.name, content)


def with_display_names(rows: Iterable[Sequence[str]], column: int, names: StructureNames) -> list[list[str]]:
    """Return the rows with the structure in a column replaced by the name that people read."""
    return [[*row[:column], names.display_name(row[column]), *row[column + 1 :]] for row in rows]


def with_identifiers(rows: Sequence[Sequence[str]], summary: pd.DataFrame) -> list[list[str]]:
    """Return the printed rows of a summary with the identifiers of the structures, as data files have them."""
    return [[str(structure), *row[1:]] for structure, row in zip(summary["structure"], rows, strict=True)]


def format_value(value: object, decimals: int) -> str:
    """Return a number as text, a word or a count unchanged, a dash for NaN."""
    if not isinstance(value, float):
        return str(value)
    return "–" if math.isnan(value) else f"{value:z.{decimals}f}"


def of_model(model: ModelResults) -> str:
    """Return the end of a title that names the model; empty if it is the only one."""
    return f" of {model.name}" if model.name else ""


def csv_name(table: str, model: ModelResults) -> str:
    """Return the name of the CSV file of a table; it contains the name of the model if there are several."""
    return f"{table}_{html.slug(model.name)}.csv" if model.name else f"{table}.csv"
