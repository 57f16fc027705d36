"""Total doses against aims as coloured cells with a sign, and the table with one row per patient."""

import math
from collections.abc import Mapping, Sequence

from gynbtnet.evaluation.dose.course import CourseDose
from gynbtnet.evaluation.dose.planning_aims import Verdict
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages.html_elements import Badge, BadgeKind, Cell, Link

_KINDS: Mapping[Verdict, BadgeKind] = {
    "aim met": "good",
    "limit met": "fair",
    "aim missed": "bad",
    "limit missed": "bad",
    "not judged": "open",
}


def total_cell(total_gy: float, verdict: Verdict, *, is_bound: bool, has_aim: bool = True) -> str | Badge:
    """Return a total EQD2 with its verdict; without aim or limit only the dose.

    Args:
        total_gy: total in Gy; NaN if it is unknown.
        verdict: its verdict.
        is_bound: whether the total is a lower bound.
        has_aim: whether there is an aim in addition to a limit; without, a limit met is all that is asked for.
    """
    text = "–" if math.isnan(total_gy) else f"{'≥ ' if is_bound else ''}{total_gy:z.1f}"
    if not verdict:
        return text
    kind = "good" if verdict == "limit met" and not has_aim else _KINDS[verdict]
    return Badge(text, kind, verdict if has_aim or verdict != "limit met" else "limit met, no aim")


def course_totals(course: CourseDose, *, predicted: bool) -> tuple[str | Badge, ...]:
    """Return the totals by the reference and, if there are any, by the predicted contours."""
    has_aim = bool(course.aim)
    cells = [total_cell(course.manual_eqd2_gy, course.manual_verdict, is_bound=course.manual_is_bound, has_aim=has_aim)]
    if predicted:
        cells.append(
            total_cell(
                course.automatic_eqd2_gy, course.automatic_verdict, is_bound=course.automatic_is_bound, has_aim=has_aim
            )
        )
    return tuple(cells)


def aim_text(course: CourseDose) -> str:
    """Return aim and limit in words, such as ``aim < 80, limit < 90``."""
    parts = [f"{word} {bound}" for word, bound in (("aim", course.aim), ("limit", course.limit)) if bound]
    return ", ".join(parts)


def is_judged(course: CourseDose) -> bool:
    """Return whether the table of aims asks for something of this metric."""
    return bool(course.aim or course.limit)


def patient_cells(
    courses: Sequence[CourseDose], names: StructureNames, *, predicted: bool, pages: Mapping[str, str] | None = None
) -> tuple[list[str], list[list[Cell]]]:
    """Return heads and one row per patient, with every metric that has an aim or a limit.

    Numbers begin after the column of contours, or after the number of fractions if nothing was predicted. Totals by the
    predicted contours are below those by the reference.

    Args:
        courses: total doses of all patients.
        names: names of the structures.
        predicted: whether there are predicted contours.
        pages: address of the page of each patient.
    """
    by_patient: dict[str, dict[tuple[str, str], CourseDose]] = {}
    columns: dict[tuple[str, str], CourseDose] = {}
    for course in courses:
        by_patient.setdefault(course.patient, {})
        if is_judged(course):
            by_patient[course.patient][course.structure, course.metric] = course
            columns.setdefault((course.structure, course.metric), course)
    fractions = {course.patient: course.fractions for course in courses}
    heads = ["patient", "fractions", *(["contours"] if predicted else [])]
    heads += [
        f"{names.display_name(structure)} {metric}\n" + aim_text(course).replace(", ", "\n")
        for (structure, metric), course in columns.items()
    ]
    rows = []
    for patient, own in by_patient.items():
        address = (pages or {}).get(patient)
        row: list[Cell] = [Link(patient, address) if address else patient, str(fractions[patient])]
        row += [("reference", "prediction")] if predicted else []
        row += [course_totals(own[column], predicted=predicted) if column in own else "–" for column in columns]
        rows.append(row)
    return heads, rows
