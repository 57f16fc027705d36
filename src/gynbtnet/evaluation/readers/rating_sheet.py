"""Ratings of contours on a Likert scale, read from a CSV file."""

from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.csv_rows import CsvRows, read_csv_rows
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
    """Read a sheet with one rating per row.

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
    for number, row in _table(path).rows.items():
        place = f"Row {number} of {path}"
        case, written, rater, score = (row[name] for name in COLUMNS)
        structure = names.resolve(written, cohort.structures)
        if case not in cases:
            raise BadInput(
                f"{place}: there is no case {case} among the {len(cases)} that are scored; expected one such as "
                f"{min(cases)}: correct or remove the row."
            )
        if structure is None or structure not in cohort.structures:
            raise BadInput(
                f"{place}: {written or 'an empty name'} is not among the structures {', '.join(cohort.structures)}; "
                "correct or remove the row, or map the name with --aliases."
            )
        if not rater:
            raise BadInput(f"{place}: the rater is empty; give a name or initials.")
        if score not in {str(value) for value in range(1, HIGHEST + 1)}:
            raise BadInput(f"{place}: the score is {score or 'empty'}; expected a whole number from 1 to {HIGHEST}.")
        key = (case, structure, rater)
        if key in ratings:
            raise BadInput(f"{place}: {rater} has rated {structure} of {case} before; remove one of the rows.")
        ratings[key] = Rating(case, structure, rater, int(score))
    if not ratings:
        raise BadInput(f"{path} has no ratings; expected a row per case, structure and rater.")
    return tuple(ratings.values())


def _table(path: Path) -> CsvRows:
    """Return the rows of the sheet, whose columns are named in small letters."""
    table = read_csv_rows(Path(path))
    heads = {column: column.lower() for column in table.columns}
    if sorted(heads.values()) != sorted(COLUMNS):
        raise BadInput(
            f"{path} has the columns {', '.join(heads) or 'of an empty file'}; expected {', '.join(COLUMNS)}."
        )
    rows = {number: {heads[head]: cell for head, cell in row.items()} for number, row in table.rows.items()}
    return replace(table, columns=tuple(heads.values()), rows=rows)
