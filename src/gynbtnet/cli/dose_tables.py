"""Tables of doses for a terminal of 80 columns: one fraction, then the totals of patients."""

from collections.abc import Sequence

from rich.table import Table

from gynbtnet.cli.application import console, print_table
from gynbtnet.evaluation.dose.course import CourseDose
from gynbtnet.evaluation.dose.dose_evaluation import DoseEvaluation
from gynbtnet.evaluation.dose.patient_table import PatientTable, patient_table
from gynbtnet.evaluation.dose.score import CONTOUR_NAMES
from gynbtnet.evaluation.dose.tables import fraction_cells, summarise_dose, verdict_cells

MOST_TABLES = 5
"""Largest number of patients with a table each; more patients are counted by verdict."""
_ONLY_IN_FILES = ("|difference| (Gy)", "patients", "aim (Gy)", "limit (Gy)")


def print_doses(evaluation: DoseEvaluation, *, predicted: bool) -> None:
    """Print the doses of one fraction, and the total EQD2 of each patient or the number of patients by verdict.

    Args:
        evaluation: doses of a cohort.
        predicted: whether there are automatic contours.
    """
    summary = summarise_dose(evaluation.scores, predicted=predicted)
    _print("Dose of one fraction, mean ± SD", *fraction_cells(summary, predicted=predicted), labels=2)
    totals = patient_table(evaluation.courses, predicted=predicted)
    if len(totals.heads) == 2:  # no metric has an aim
        return
    patients = tuple(dict.fromkeys(row[0] for row in totals.rows))
    if len(patients) > MOST_TABLES:
        _print("Patients by verdict on total EQD2", *verdict_cells(evaluation.courses, predicted=predicted), labels=3)
        return
    for patient in patients:
        _print(f"{patient}: total EQD2 in Gy", *_patient_cells(totals, patient), labels=1)
        for note in _notes([course for course in evaluation.courses if course.patient == patient]):
            console.print(f"Note: {note}")


def _patient_cells(totals: PatientTable, patient: str) -> tuple[list[str], list[list[str]]]:
    """Return one row per metric of a patient."""
    columns = [row[1:] for row in totals.rows if row[0] == patient]
    heads, *rows = zip(totals.heads[1:], *columns, strict=True)
    return ["metric", *(CONTOUR_NAMES[contours] for contours in heads[1:])], [list(row) for row in rows]


def _notes(courses: Sequence[CourseDose]) -> tuple[str, ...]:
    """Return the different notes of the totals that have an aim or a limit."""
    return tuple(dict.fromkeys(course.note for course in courses if course.note and (course.aim or course.limit)))


def _print(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, labels: int) -> None:
    """Print a table whose first columns are text, without the columns that only the files have."""
    shown = [number for number, head in enumerate(heads) if head not in _ONLY_IN_FILES]
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for number in shown:
        head = heads[number].replace(" ", "\n")
        table.add_column(head, justify="left" if number < labels else "right", overflow="fold")
    for row in rows:
        table.add_row(*(row[number] for number in shown))
    print_table(table)
