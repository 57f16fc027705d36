"""The page of a cohort's doses: fractions, courses against aims, agreement of contours, histograms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.dose.agreement import DoseAgreement, limit_cells
from gynbtnet.evaluation.dose.course import ASSUMED, CourseDose
from gynbtnet.evaluation.dose.dvh_plot import curve_table, dvh_panels
from gynbtnet.evaluation.dose.planning_aims import PlanningAims
from gynbtnet.evaluation.dose.score import DoseScore
from gynbtnet.evaluation.dose.tables import (
    DEFINED,
    JUDGED,
    aims_sentence,
    course_cells,
    dose_table,
    fraction_cells,
    score_cells,
    verdict_cells,
)
from gynbtnet.evaluation.reports import html_elements as html
from gynbtnet.evaluation.reports.html_page import html_page

AGREEMENT = (
    "Each mark is a case, in its patient's colour and shape. A patient's cases count as repeated measurements of a "
    "changing quantity: the line is the bias, the mean of the patients' means; between the dashed lines 95 % of single "
    "differences are expected; bands are 95 % intervals. Without a second patient there are no limits. Where "
    "differences grow with the mean, the limits are too wide at one end and too narrow at the other."
)
HISTOGRAMS = "Thin: a case. Thick: the median of the cases. Solid: manual contours. Dashed: automatic ones."


@dataclass(frozen=True)
class DoseContent:
    """All that the page shows.

    Attributes:
        cohort: whose doses they are.
        scores: of every fraction.
        summary: of the fractions, see :func:`gynbtnet.evaluation.dose.tables.summarise_dose`.
        courses: every patient's totals.
        aims: what the totals were held against.
        agreements: of automatic and manual contours; none where nothing was predicted.
        curves: of every case, see :func:`gynbtnet.evaluation.dose.score.score_dose`.
        settings: names and values.
        predicted: whether there are automatic contours at all.
    """

    cohort: Cohort
    scores: Sequence[DoseScore]
    summary: pd.DataFrame
    courses: Sequence[CourseDose]
    aims: PlanningAims
    agreements: Sequence[DoseAgreement]
    curves: pd.DataFrame
    settings: Sequence[tuple[str, str]]
    predicted: bool


def dose_report(content: DoseContent) -> str:
    """The page as HTML, with the same CSV files inside that lie beside it; the same content gives the same bytes."""
    cohort = content.cohort
    whose = "The dose in manual and automatic contours" if content.predicted else "The dose in manual contours"
    cases, patients = len(cohort.cases), len(cohort.patients)
    counted = f"{cases} case{'s' * (cases > 1)} of {patients} patient{'s' * (patients > 1)}"
    return html_page(
        f"Dose: {cohort.name}", _sections(content), synthetic=cohort.synthetic, description=f"{whose}, {counted}."
    )


def _sections(content: DoseContent) -> Iterator[tuple[str, Iterator[str]]]:
    yield "A fraction", _fraction(content)
    yield "A course, total EQD2", _course(content)
    if content.agreements:
        yield "Automatic against manual", _agreement(content.agreements)
    yield "Dose-volume histograms", _histograms(content.curves, content.cohort.synthetic)
    yield "Settings and data", _settings(content)


def _fraction(content: DoseContent) -> Iterator[str]:
    yield html.table(*fraction_cells(content.summary, predicted=content.predicted), numbers=slice(2, None))
    yield _csv(content.summary, "dose_summary.csv")
    yield html.paragraph(DEFINED, "note")
    heads, rows = score_cells(content.scores, predicted=content.predicted)
    table = html.table(heads, rows, numbers=slice(3, heads.index("note")))
    whole = table + _csv(dose_table(content.scores, DoseScore), "dose.csv")
    yield html.details(f"Every case and figure ({len(rows)} rows)", whole)


def _course(content: DoseContent) -> Iterator[str]:
    several = len({one.patient for one in content.courses}) > 1
    if content.predicted:
        yield html.paragraph(_changed(content.courses))
    heads, rows = verdict_cells(content.courses, predicted=content.predicted)
    if several and rows:
        yield html.paragraph("How many patients' totals have which verdict:")
        yield html.table(heads, rows, numbers=slice(5, None), download="verdicts.csv")
    yield html.paragraph(f"{aims_sentence(content.aims)} {ASSUMED}", "note")
    heads, rows = course_cells(content.courses, predicted=content.predicted)
    table = html.table(heads, rows, numbers=slice(3, heads.index("aim")))
    whole = table + _csv(dose_table(content.courses, CourseDose), "eqd2.csv")
    yield html.details(f"Every patient and figure ({len(rows)} rows)", whole) if several else whole


def _changed(courses: Sequence[CourseDose]) -> str:
    """In how many totals the automatic contours would have changed what is said of the dose."""
    judged = [one for one in courses if {one.manual_verdict, one.automatic_verdict} <= set(JUDGED)]
    changed = sum(one.manual_verdict != one.automatic_verdict for one in judged)
    if not judged:
        return "No total was judged by both contours."
    return f"Of {len(judged)} totals judged by both contours the automatic ones have another verdict in {changed}."


def _agreement(agreements: Sequence[DoseAgreement]) -> Iterator[str]:
    yield html.paragraph(AGREEMENT, "note")
    for one in agreements:
        yield html.heading(one.figure, 3)
        yield html.figure(one.panels, f"{one.picture.description}, in one fraction.")
        yield _csv(one.pairs, f"{one.name}.csv")
        yield html.table(*limit_cells(one.limits)) + _csv(one.limits, f"{one.name}_limits.csv")


def _histograms(curves: pd.DataFrame, synthetic: bool) -> Iterator[str]:
    yield html.figure(dvh_panels(curves, synthetic=synthetic), HISTOGRAMS)
    yield html.csv_link(curve_table(curves).to_csv(index=False, float_format="%.6g"), "dvh_by_case.csv")


def _settings(content: DoseContent) -> Iterator[str]:
    yield html.definition_list(content.settings)
    if content.cohort.notes:
        yield html.bullets(content.cohort.notes)


def _csv(table: pd.DataFrame, name: str) -> str:
    """A link with the bytes of the file that lies beside the page."""
    return html.csv_link(table.to_csv(index=False), name)
