"""Table of total doses with one row per patient, as a tumour board reads it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from gynbtnet.evaluation.dose.course import CourseDose
from gynbtnet.evaluation.dose.planning_aims import Verdict
from gynbtnet.evaluation.dose.score import AUTOMATIC, MANUAL
from gynbtnet.imaging.structure_names import StructureNames


@dataclass(frozen=True)
class PatientTable:
    """Totals of all metrics that have an aim or a limit.

    Attributes:
        heads: names of the columns: the patient, the contours, then one per metric.
        rows: text of the cells, one row per patient and kind of contours.
        verdicts: verdict of each cell; empty for cells without one.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    verdicts: tuple[tuple[Verdict, ...], ...]


def patient_table(courses: Sequence[CourseDose], *, predicted: bool) -> PatientTable:
    """Return the totals as EQD2 in Gy with their verdicts, one row per patient.

    Args:
        courses: totals of every patient.
        predicted: whether there are automatic contours, which then have separate rows.
    """
    names = StructureNames.load()
    judged = [course for course in courses if course.aim or course.limit]
    columns = list(dict.fromkeys((course.structure, course.metric) for course in judged))
    by_key = {(course.patient, course.structure, course.metric): course for course in judged}
    rows, verdicts = [], []
    for patient in dict.fromkeys(course.patient for course in courses):
        for contours in (MANUAL, *((AUTOMATIC,) if predicted else ())):
            cells = [_cell(by_key.get((patient, *column)), contours) for column in columns]
            rows.append((patient, contours, *(text for text, _ in cells)))
            verdicts.append(("", "", *(verdict for _, verdict in cells)))
    heads = ("patient", "contours", *(f"{names.display_name(structure)} {metric}" for structure, metric in columns))
    return PatientTable(heads, tuple(rows), tuple(verdicts))


def patient_frame(courses: Sequence[CourseDose], *, predicted: bool) -> pd.DataFrame:
    """Return the same table as data."""
    table = patient_table(courses, predicted=predicted)
    return pd.DataFrame(list(table.rows), columns=list(table.heads))


def _cell(course: CourseDose | None, contours: str) -> tuple[str, Verdict]:
    if course is None:
        return "–", ""
    manual = contours == MANUAL
    total = course.manual_eqd2_gy if manual else course.automatic_eqd2_gy
    verdict = course.manual_verdict if manual else course.automatic_verdict
    if math.isnan(total):
        return "– (not judged)", verdict
    is_bound = course.manual_is_bound if manual else course.automatic_is_bound
    return f"{'≥ ' if is_bound else ''}{total:.1f} ({verdict})", verdict
