"""Rows of a CSV file that a user wrote, in an editor or a spreadsheet program."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class CsvRows:
    """Rows of a CSV file; blank rows are left out, and cells have no spaces around them.

    Attributes:
        columns: names of the columns, without empty ones at the end; empty for an empty file.
        rows: cells of each row by column, by its number in the file; cells that a row lacks are empty.
        delimiter: ``","`` or ``";"``.
    """

    columns: tuple[str, ...]
    rows: Mapping[int, Mapping[str, str]]
    delimiter: str


def read_csv_rows(path: Path) -> CsvRows:
    """Read a CSV file whose columns are separated by commas or semicolons.

    Args:
        path: CSV file in UTF-8, with the names of its columns in the first row.

    Returns:
        Its rows as text.

    Raises:
        BadInput: If the file can't be read, or a row has more cells than there are columns, such as a decimal comma.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected a CSV file.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        header = (text.splitlines() or [""])[0]
        delimiter = ";" if ";" in header and "," not in header else ","
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        names = [name.strip() for name in next(reader, [])]
        columns = tuple(names[: max((number for number, name in enumerate(names, start=1) if name), default=0)])
        rows: dict[int, Mapping[str, str]] = {}
        for number, row in enumerate(reader, start=2):
            cells = [cell.strip() for cell in row]
            if any(cells[len(columns) :]):
                raise BadInput(
                    f"Row {number} of {path} has {len(cells)} cells; expected {len(columns)}, one per column. Write "
                    "decimals with a point, and put cells that contain the separator in quotation marks."
                )
            if any(cells):
                filled = (*cells, *[""] * len(columns))
                rows[number] = dict(zip(columns, filled, strict=False))
    except (OSError, UnicodeDecodeError, csv.Error) as error:  # csv: a cell of more than 131,072 characters
        raise BadInput(f"The table {path} can't be read; expected a CSV file in UTF-8.") from error
    return CsvRows(columns, rows, delimiter)
