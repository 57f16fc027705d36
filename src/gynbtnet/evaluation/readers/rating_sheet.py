"""Ratings of contours on a Likert scale, read from a CSV file."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput

COLUMNS = ("case", "structure", "rater", "score")
"""Columns of the file, in any order; others are refused."""
HIGHEST = 5
"""Highest score of the scale; the lowest is 1."""


@dataclass(frozen=True)
class Rating:
    """Rating of one predicted contour.

    Attributes:
        case: id of the case.
        structure: identifier of the structure.
        rater: name of the person.
        score: 1 (worst) to 5 (best).
    """

    case: str
    structure: str
    rater: str
    score: int


def read_ratings(path: Path, cohort: Cohort, names: StructureNames | None = None) -> tuple[Rating, ...]:
    """Read a sheet with one rating per line.

    Args:
        path: CSV file in UTF-8 with the columns ``case``, ``structure``, ``rater`` and ``score``, separated by commas
            or semicolons.
        cohort: cases that are scored; ratings of others are refused.
        names: meaning of the names of structures; None: the built-in table.

    Returns:
        The ratings in the order of the file, at least one.

    Raises:
        BadInput: If the file is absent or no such table, or a case or structure is unknown. Also if a score is not a
            whole number from 1 to 5, a rater is empty, or a rater rated a contour twice.
    """
    names = names or StructureNames.load()
    cases = {case.id for case in cohort.cases}
    ratings: dict[tuple[str, str, str], Rating] = {}
    for number, row in enumerate(_rows(path), start=2):
        line = f"{path}, line {number}"
        case, written, rater, score = (row[name] for name in COLUMNS)
        structure = names.resolve(written, cohort.structures)
        if case not in cases:
            raise BadInput(
                f"{line}: there is no case {case} among the {len(cases)} that are scored; expected one such as "
                f"{min(cases)}: correct or remove the line."
            )
        if structure is None or structure not in cohort.structures:
            raise BadInput(
                f"{line}: {written or 'an empty name'} is not among the structures {', '.join(cohort.structures)}; "
                "correct or remove the line, or map the name with --aliases."
            )
        if not rater:
            raise BadInput(f"{line}: the rater is empty; give a name or initials.")
        if score not in {str(value) for value in range(1, HIGHEST + 1)}:
            raise BadInput(f"{line}: the score is {score or 'empty'}; expected a whole number from 1 to {HIGHEST}.")
        key = (case, structure, rater)
        if key in ratings:
            raise BadInput(f"{line}: {rater} has rated {structure} of {case} before; remove one of the lines.")
        ratings[key] = Rating(case, structure, rater, int(score))
    if not ratings:
        raise BadInput(f"{path} has no ratings; expected a line per case, structure and rater.")
    return tuple(ratings.values())


def _rows(path: Path) -> Iterable[Mapping[str, str]]:
    """Return the rows of the file, with cells without spaces around them."""
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected a CSV file with the columns {', '.join(COLUMNS)}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        header = text.partition("\n")[0]
        delimiter = ";" if ";" in header and "," not in header else ","
        lines = [[cell.strip() for cell in line] for line in csv.reader(text.splitlines(), delimiter=delimiter)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} can't be read as CSV in UTF-8; export the sheet again.") from error
    heads = [head.lower() for head in lines[0]] if lines else []
    if sorted(heads) != sorted(COLUMNS):
        raise BadInput(
            f"{path} has the columns {', '.join(heads) or 'of an empty file'}; expected {', '.join(COLUMNS)}."
        )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) not in (0, len(COLUMNS)):
            raise BadInput(f"{path}, line {number} has {len(line)} cells; expected {len(COLUMNS)}.")
        rows.append(dict(zip(heads, line, strict=True)) if line else {})
    return _without_empty_end(rows, path)


def _without_empty_end(rows: list[dict[str, str]], path: Path) -> list[dict[str, str]]:
    while rows and not any(rows[-1].values()):
        rows.pop()
    empty = next((number for number, row in enumerate(rows, start=2) if not row), None)
    if empty:
        raise BadInput(f"{path}, line {empty} is empty; remove it.")
    return rows
