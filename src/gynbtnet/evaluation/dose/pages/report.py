"""Dose report of a cohort: fractions, courses against aims, agreement of contours, histograms."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.dose.agreement import DoseAgreement, limit_cells
from gynbtnet.evaluation.dose.course import COURSE_ASSUMPTIONS, CourseDose
from gynbtnet.evaluation.dose.course_differences import course_differences, difference_cells
from gynbtnet.evaluation.dose.dvh_plot import curve_table, dvh_panels
from gynbtnet.evaluation.dose.pages.verdict_badges import is_judged, patient_cells
from gynbtnet.evaluation.dose.plan_metrics import DEFINITIONS, PlanMetric, plan_metric_cells, plan_metric_table
from gynbtnet.evaluation.dose.planning_aims import PlanningAims
from gynbtnet.evaluation.dose.score import DoseScore
from gynbtnet.evaluation.dose.tables import (
    DOSE_METRIC_DEFINITIONS,
    VERDICTS,
    aims_sentence,
    course_cells,
    dose_table,
    fraction_cells,
    score_cells,
    verdict_cells,
)
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html
from gynbtnet.pages.page_frame import html_page
from gynbtnet.pages.patient_page import VERDICTS as BADGE_MEANINGS
from gynbtnet.runtime.phrases import counted

AGREEMENT = (
    "Each point is a case, in the colour and shape of its patient. The cases of a patient count as repeated "
    "measurements of a changing quantity. The solid line is the bias, the mean of the patients' means. 95 % of single "
    "differences are expected between the dashed lines, the limits of agreement. Bands are 95 % intervals, which are "
    "drawn from eight patients on; the table has all of them. Limits need at least two patients. If differences grow "
    "with the mean, the limits are too wide at one end and too narrow at the other."
)
DIFFERENCES = (
    "Total EQD2 over patients, mean ± SD, with the limits of agreement of prediction minus reference. Patients with an "
    "incomplete course or only a lower bound are left out."
)
HISTOGRAMS = (
    "Thick lines: median of the cases; solid: reference, dashed: prediction. Thin lines: cases; with many cases, a "
    "band from the 10th to the 90th percentile instead. Dotted line: prescribed dose."
)

ON_PAPER = "Without the tables that open on a click."
MOST_CHANGES = 6
"""Number of changed verdicts that the first screen names."""


@dataclass(frozen=True)
class DoseContent:
    """Content of the dose report.

    Attributes:
        cohort: cases of the report.
        scores: scores of every fraction.
        summary: summary of the fractions, see :func:`gynbtnet.evaluation.dose.tables.summarise_dose`.
        courses: total doses of every patient.
        aims: aims and limits that the totals are compared with.
        agreements: agreement of automatic and manual contours; empty if nothing was predicted.
        curves: histograms of every case, see :func:`gynbtnet.evaluation.dose.score.score_dose`.
        settings: names and values of the settings.
        predicted: whether there are predicted contours.
        further: volume, mean dose, V100 and others of every fraction.
        prescription_gy: prescribed dose of a fraction in Gy; None if it is unknown.
        pages: address of the page of each patient that has one, relative to the report.
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
    further: Sequence[PlanMetric] = ()
    prescription_gy: float | None = None
    pages: Mapping[str, str] = field(default_factory=dict)


def dose_report(content: DoseContent) -> str:
    """Return the report as HTML; it includes the CSV files of its folder, and equal content gives equal bytes."""
    cohort = content.cohort
    subject = "Dose in reference and predicted contours" if content.predicted else "Dose in the reference contours"
    cases, patients = len(cohort.cases), len(cohort.patients)
    counts = f"{cases} case{'s' * (cases > 1)} of {patients} patient{'s' * (patients > 1)}"
    return html_page(
        f"Dose: {cohort.name}",
        _sections(content),
        synthetic=cohort.synthetic,
        description=f"{subject}, {counts}.",
        summary=_first_screen(content),
    )


def _sections(content: DoseContent) -> Iterator[tuple[str, Iterator[str]]]:
    yield "Patients", _patients(content)
    yield "Whole course, total EQD2", _course(content)
    yield "One fraction", _fraction(content)
    if content.agreements:
        yield "Prediction against reference", _agreement(content.agreements)
    yield "Dose-volume histograms", _histograms(content)
    yield "Settings and data", _settings(content)


def _first_screen(content: DoseContent) -> Iterator[str]:
    """Yield the result in a sentence per structure."""
    names = StructureNames.load()
    groups: dict[tuple[str, str], list[CourseDose]] = {}
    for course in filter(is_judged, content.courses):
        groups.setdefault((course.structure, course.metric), []).append(course)
    if content.predicted:
        yield html.paragraph(_changed_verdicts(content.courses), "headline")
    else:
        yield html.paragraph(_verdict_counts(content.courses), "headline")
    yield html.bullets(
        f"{names.display_name(structure)} {metric}: {_course_sentence(group, predicted=content.predicted)}."
        for (structure, metric), group in groups.items()
    )
    yield html.paragraph(ON_PAPER, "printed")


def _verdict_counts(courses: Sequence[CourseDose]) -> str:
    counts = {verdict: sum(course.manual_verdict == verdict for course in courses) for verdict in VERDICTS}
    known = ", ".join(f"{verdict} {count}" for verdict, count in counts.items() if count)
    return f"Verdicts over patients and metrics: {known}." if known else "No total was judged."


def _course_sentence(courses: Sequence[CourseDose], *, predicted: bool) -> str:
    """Return means of the totals and numbers of patients whose aims and limits are met."""
    values = {"reference": [(course.manual_eqd2_gy, course.manual_verdict) for course in courses]}
    if predicted:
        values["prediction"] = [(course.automatic_eqd2_gy, course.automatic_verdict) for course in courses]
    parts = []
    for source, totals in values.items():
        known = [total for total, _ in totals if not math.isnan(total)]
        mean = f"{sum(known) / len(known):.1f} Gy" if known else "no total"
        verdicts = Counter(str(verdict) for _, verdict in totals)
        counts = ", ".join(
            f"{verdict} {verdicts[verdict]}" for verdict in (*VERDICTS, "not judged") if verdicts[verdict]
        )
        parts.append(f"{source} {mean} on average ({counts})")
    return f"{', '.join(parts)}; {counted(len(courses), 'patient')}"


def _patients(content: DoseContent) -> Iterator[str]:
    names = StructureNames.load()
    heads, rows = patient_cells(content.courses, names, predicted=content.predicted, pages=content.pages)
    yield html.table(heads, rows, numbers=slice(3 if content.predicted else 1, None), download="patient_verdicts.csv")
    yield html.badge_legend(BADGE_MEANINGS)
    opened = " A click on a patient opens a page with the patient's fractions, contours and isodoses."
    yield html.paragraph(
        "Total EQD2 in Gy of every metric with an aim or a limit, one row per patient."
        f"{opened if content.pages else ''} {aims_sentence(content.aims)} {COURSE_ASSUMPTIONS}",
        "note",
    )


def _fraction(content: DoseContent) -> Iterator[str]:
    yield html.table(*fraction_cells(content.summary, predicted=content.predicted), numbers=slice(2, None))
    yield _csv(content.summary, "dose_summary.csv")
    yield html.paragraph(DOSE_METRIC_DEFINITIONS, "note")
    if content.further:
        yield html.heading("Volume, mean dose, D5cc, V100", 3)
        yield html.table(*plan_metric_cells(content.further, predicted=content.predicted), numbers=slice(2, None))
        yield _csv(plan_metric_table(content.further), "plan_metrics.csv")
        yield html.paragraph(DEFINITIONS, "note")
    heads, rows = score_cells(content.scores, predicted=content.predicted)
    table = html.table(heads, rows, numbers=slice(3, heads.index("note")))
    with_link = table + _csv(dose_table(content.scores, DoseScore), "dose.csv")
    yield html.details(f"Every case and metric ({counted(len(rows), 'row')})", with_link)


def _course(content: DoseContent) -> Iterator[str]:
    several = len({course.patient for course in content.courses}) > 1
    heads, rows = verdict_cells(content.courses, predicted=content.predicted)
    if several and rows:
        yield html.paragraph("Number of patients with each verdict:")
        yield html.table(heads, rows, numbers=slice(5, None), download="verdicts.csv")
    if content.predicted:
        differences = course_differences(content.courses)
        yield html.paragraph(DIFFERENCES)
        yield html.table(*difference_cells(differences), numbers=slice(2, None))
        yield _csv(differences, "eqd2_differences.csv")
    heads, rows = course_cells(content.courses, predicted=content.predicted)
    table = html.table(heads, rows, numbers=slice(3, heads.index("aim")))
    with_link = table + _csv(dose_table(content.courses, CourseDose), "eqd2.csv")
    yield html.details(f"Every patient and metric ({counted(len(rows), 'row')})", with_link)


def _changed_verdicts(courses: Sequence[CourseDose]) -> str:
    """Return a sentence with the totals whose verdict the predicted contours change."""
    judged = [course for course in courses if {course.manual_verdict, course.automatic_verdict} <= set(VERDICTS)]
    names = StructureNames.load()
    changed = [
        f"{course.patient} {names.display_name(course.structure)} {course.metric} ({course.manual_verdict} → "
        f"{course.automatic_verdict})"
        for course in judged
        if course.manual_verdict != course.automatic_verdict
    ]
    if not judged:
        return "No total was judged by both contours."
    which = f": {'; '.join(changed[:MOST_CHANGES])}{' …' if len(changed) > MOST_CHANGES else ''}" if changed else ""
    return (
        f"Totals judged by both contours: {len(judged)}. The predicted contours change the verdict of {len(changed)}"
        f"{which}."
    )


def _agreement(agreements: Sequence[DoseAgreement]) -> Iterator[str]:
    yield html.paragraph(AGREEMENT, "note")
    for agreement in agreements:
        yield html.heading(agreement.metric, 3)
        yield html.figure([agreement.picture], f"{agreement.picture.description}, in one fraction.")
        yield _csv(agreement.pairs, f"{agreement.name}.csv")
        yield html.table(*limit_cells(agreement.limits)) + _csv(agreement.limits, f"{agreement.name}_limits.csv")


def _histograms(content: DoseContent) -> Iterator[str]:
    panels = dvh_panels(content.curves, synthetic=content.cohort.synthetic, prescription_gy=content.prescription_gy)
    yield html.figure(panels, HISTOGRAMS)
    yield html.csv_link(curve_table(content.curves).to_csv(index=False, float_format="%.6g"), "dvh_by_case.csv")


def _settings(content: DoseContent) -> Iterator[str]:
    yield html.definition_list(content.settings)
    if content.cohort.notes:
        yield html.bullets(content.cohort.notes)


def _csv(table: pd.DataFrame, name: str) -> str:
    """Return a link that contains the same bytes as the file next to the page."""
    return html.csv_link(table.to_csv(index=False), name)
