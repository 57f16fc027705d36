"""Tables of learning curves, checked when they are read."""

import csv
import math
from pathlib import Path

import pandas as pd

from gynbtnet.runtime.errors import BadInput

_METRICS = ("dsc", "hd95_mm", "asd_mm")


def read_text_table(path: Path, remedy: str) -> pd.DataFrame:
    """Return a table whose cells are all text, since names may look like numbers or like absent values.

    Args:
        path: a CSV file.
        remedy: advice for an absent or damaged file, as a sentence.

    Raises:
        BadInput: If the file is absent or no table, has no rows, or has rows of different lengths.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            heads, *rows = [row for row in csv.reader(file, strict=True) if row] or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"{path} is absent or damaged. {remedy}") from error
    if not rows:
        raise BadInput(f"{path} is damaged: it has no rows. {remedy}")
    if len(set(heads)) < len(heads):
        raise BadInput(f"{path} is damaged: it has a column twice. {remedy}")
    other = next((number for number, row in enumerate(rows) if len(row) != len(heads)), None)
    if other is not None:
        raise BadInput(
            f"{path} is damaged: row {other} has {len(rows[other])} cells, but there are {len(heads)} columns. {remedy}"
        )
    return pd.DataFrame(rows, columns=heads, dtype=str)


def read_score_table(path: Path, remedy: str, *, of_one_run: bool = False) -> pd.DataFrame:
    """Return a table of scores; ids of cases and patients are text, even if they are digits.

    Args:
        path: ``scores.csv``.
        remedy: advice for an absent or damaged file, as a sentence.
        of_one_run: whether it has the scores of a single run, and no column ``run``.

    Raises:
        BadInput: If the file is absent or damaged, has the score of a case and structure twice, or lacks a name.
    """
    table = read_text_table(path, remedy)
    keys = ["case", "structure"] if of_one_run else ["run", "case", "structure"]
    absent = [name for name in (*keys, "patient", *_METRICS) if name not in table]
    if absent:
        raise BadInput(f"{path} is damaged: it has no column {absent[0]}. {remedy}")
    try:
        numbers = {name: table[name].replace("", "nan").astype(float) for name in _METRICS}
    except ValueError as error:
        raise BadInput(f"{path} is damaged: a score is not a number. {remedy}") from error
    if ((numbers["dsc"] < 0) | (numbers["dsc"] > 1)).any():
        raise BadInput(f"{path} is damaged: a DSC is not between 0 and 1. {remedy}")
    if any(((numbers[name] < 0) | (numbers[name] == math.inf)).any() for name in ("hd95_mm", "asd_mm")):
        raise BadInput(f"{path} is damaged: a distance is negative or infinite. {remedy}")
    blank = [name for name in (*keys, "patient") if (table[name].str.strip() == "").any()]
    if blank:
        raise BadInput(f"{path} is damaged: a row has no {blank[0]}. {remedy}")
    if table.duplicated(keys).any():
        raise BadInput(f"{path} is damaged: it has a structure of a case twice. {remedy}")
    return table.assign(**numbers)
