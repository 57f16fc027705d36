"""Tables of doses: summary over cases, and the rows that people read."""

from collections.abc import Sequence
from dataclasses import astuple, fields
from typing import Any

import pandas as pd

from gynbtnet.evaluation.dose.course import COURSE_ASSUMPTIONS, CourseDose
from gynbtnet.evaluation.dose.metrics import NO_DOSE, is_bound
from gynbtnet.evaluation.dose.patient_table import patient_table
from gynbtnet.evaluation.dose.plan_metrics import DEFINITIONS, PlanMetric, plan_metric_cells
from gynbtnet.evaluation.dose.planning_aims import PlanningAims
from gynbtnet.evaluation.dose.score import AUTOMATIC, CONTOUR_NAMES, MANUAL, DoseScore
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.phrases import counted

DOSE_METRIC_DEFINITIONS = (
    "Dose of one fraction in Gy. D90, D98 and D50: minimum dose to the hottest 90, 98 and 50 % of the volume. D2cc, "
    "D1cc and D0.1cc: minimum dose to the hottest 2, 1 and 0.1 cm³. Mean ± SD over the cases in which both contours "
    "have the metric. Difference: prediction minus reference. A case with a dose is not evaluable if a contour is "
    "missing or smaller than the volume. A case of which a file can't be used is not evaluable either. The same is "
    "true if only a lower bound (≥) is known. Such cases are in no mean. Fractions of one patient are not independent."
)
"""Text below every table of differences."""
VERDICTS = ("aim met", "limit met", "aim missed", "limit missed")
_COUNT_HEADS = ("cases", "patients", "not evaluable", "no dose", "fractions")
_DOSE_COLUMNS = {"manual": "manual_gy", "automatic": "automatic_gy", "difference": "difference_gy"}


def dose_table(
    rows: Sequence[DoseScore] | Sequence[CourseDose], kind: type[DoseScore] | type[CourseDose]
) -> pd.DataFrame:
    """Return a table with one row per value; its columns are the fields of the dataclass."""
    return pd.DataFrame([astuple(row) for row in rows], columns=[field.name for field in fields(kind)])


def summarise_dose(scores: Sequence[DoseScore], *, predicted: bool) -> pd.DataFrame:
    """Summarise doses over cases, one row per structure and metric.

    Args:
        scores: scores of all cases.
        predicted: whether there are automatic contours; otherwise the summary has only the manual columns. If no case
            has manual contours, the means are over the cases in which the automatic ones have the metric.

    Returns:
        A table with these columns:

        - ``structure`` and ``metric``.
        - ``manual_mean`` and ``manual_sd``, and the same of ``automatic`` and ``difference``, in Gy.
        - ``absolute_mean``: mean absolute difference in Gy.
        - ``cases`` and ``patients`` that these means include.
        - ``not_evaluable``: cases with a dose in which a contour does not have the metric, or only a lower bound.
        - ``no_dose``: cases without a dose.
    """
    table = dose_table(scores, DoseScore)
    columns = _DOSE_COLUMNS if predicted else {"manual": "manual_gy"}
    present = [column for column in columns.values() if table[column].notna().any()]
    rows = []
    for (structure, metric), group in table.groupby(["structure", "metric"], sort=False):
        with_dose = group[group["manual_note"] != NO_DOSE.note]
        bounded = with_dose["manual_note"].map(is_bound) | (with_dose["automatic_note"].map(is_bound) & predicted)
        evaluable = with_dose[~bounded].dropna(subset=present or list(columns.values()))
        row: dict[str, Any] = {"structure": structure, "metric": metric}
        for name, column in columns.items():
            row[f"{name}_mean"], row[f"{name}_sd"] = evaluable[column].mean(), evaluable[column].std()
        if predicted:
            row["absolute_mean"] = evaluable["difference_gy"].abs().mean()
        row |= {"cases": len(evaluable), "patients": evaluable["patient"].nunique()}
        row |= {"not_evaluable": len(with_dose) - len(evaluable), "no_dose": len(group) - len(with_dose)}
        rows.append(row)
    return pd.DataFrame(rows)


Cells = tuple[list[str], list[list[str]]]
"""Heads and rows as people read them."""


def fraction_cells(summary: pd.DataFrame, *, predicted: bool) -> Cells:
    """Return the rows of :func:`summarise_dose` for people; text in the first two columns, then numbers."""
    names = StructureNames.load()
    columns = (*_contours(predicted), *(("difference",) if predicted else ()))
    heads = [f"{_printed(name)} (Gy)" for name in (*columns, *(("|difference|",) if predicted else ()))]
    rows = []
    for row in summary.to_dict("records"):
        cells = [_mean_and_sd(row, name) for name in columns]
        if predicted:
            cells.append(_format_gy(row["absolute_mean"], 2))
        counts = [str(row[name]) for name in ("cases", "patients", "not_evaluable", "no_dose")]
        rows.append([names.display_name(str(row["structure"])), str(row["metric"]), *cells, *counts])
    return ["structure", "metric", *heads, *_COUNT_HEADS[:4]], rows


def score_cells(scores: Sequence[DoseScore], *, predicted: bool) -> Cells:
    """Return one row per case and metric; numbers from the fourth column to the one before "note"."""
    names = StructureNames.load()
    columns = _DOSE_COLUMNS if predicted else {MANUAL: _DOSE_COLUMNS[MANUAL]}
    rows = []
    for score in scores:
        bounds = {"manual": score.manual_is_bound, "automatic": score.automatic_is_bound}
        doses = [
            _format_gy(getattr(score, column), 2, bound=bounds.get(name, False)) for name, column in columns.items()
        ]
        notes = {MANUAL: score.manual_note, AUTOMATIC: score.automatic_note}
        if not predicted or score.manual_note == score.automatic_note:
            notes = {"": score.manual_note}
        note = "; ".join(f"{CONTOUR_NAMES[source]} {note}".strip() for source, note in notes.items() if note)
        if score.interpolated_slices:
            interpolated = f"reference: {counted(score.interpolated_slices, 'slice')} interpolated"
            note = "; ".join(filter(None, (note, interpolated)))
        rows.append([score.case, names.display_name(score.structure), score.metric, *doses, note])
    return ["case", "structure", "metric", *(f"{_printed(name)} (Gy)" for name in columns), "note"], rows


def course_cells(courses: Sequence[CourseDose], *, predicted: bool) -> Cells:
    """Return one row per total; numbers from the fourth column to the one before "aim"."""
    names, contours = StructureNames.load(), _contours(predicted)
    heads = ["patient", "structure", "metric", "α/β (Gy)", "fractions", "external (Gy)"]
    heads += [f"{_printed(name)} (Gy)" for name in (*contours, *(("difference",) if predicted else ()))]
    heads += ["aim", "limit", *(f"{_printed(name)}: verdict" for name in contours), "note"]
    rows = []
    for course in courses:
        totals = [_format_gy(course.manual_eqd2_gy, bound=course.manual_is_bound)]
        if predicted:
            totals.append(_format_gy(course.automatic_eqd2_gy, bound=course.automatic_is_bound))
            totals.append(_format_gy(course.difference_eqd2_gy))
        verdicts = [course.manual_verdict, *((course.automatic_verdict,) if predicted else ())]
        cells = [course.patient, names.display_name(course.structure), course.metric]
        cells += [f"{course.alpha_beta_gy:g}", str(course.fractions)]
        cells += [_format_gy(course.external_eqd2_gy), *totals]
        rows.append([*cells, course.aim, course.limit, *verdicts, course.note])
    return heads, rows


def verdict_cells(courses: Sequence[CourseDose], *, predicted: bool) -> Cells:
    """Return the number of patients with each verdict, by metric with an aim or limit; counts from the sixth column."""
    names = StructureNames.load()
    heads = ["structure", "metric", "contours", "aim (Gy)", "limit (Gy)", *VERDICTS, "not judged"]
    groups: dict[tuple[str, str, str, str], list[CourseDose]] = {}
    for course in courses:
        if course.aim or course.limit:
            groups.setdefault((course.structure, course.metric, course.aim, course.limit), []).append(course)
    rows = []
    for (structure, metric, aim, limit), group in groups.items():
        for contours in _contours(predicted):
            verdicts = [getattr(course, f"{contours}_verdict") for course in group]
            counts = [str(verdicts.count(verdict)) for verdict in heads[5:]]
            rows.append([names.display_name(structure), metric, _printed(contours), aim or "–", limit or "–", *counts])
    return heads, rows


def dose_markdown(
    summary: pd.DataFrame,
    further: Sequence[PlanMetric],
    courses: Sequence[CourseDose],
    aims: PlanningAims,
    *,
    predicted: bool,
    synthetic: bool,
) -> str:
    """Return the tables as Markdown: doses of fractions, totals of courses, and their assumptions."""
    patients = patient_table(courses, predicted=predicted)
    parts = ["**Synthetic data: no patient was treated with these doses.**\n"] if synthetic else []
    parts += [
        "## One fraction\n",
        _markdown(*fraction_cells(summary, predicted=predicted)),
        f"{DOSE_METRIC_DEFINITIONS}\n",
    ]
    if further:
        parts += [_markdown(*plan_metric_cells(further, predicted=predicted)), f"{DEFINITIONS}\n"]
    if len(patients.heads) > 2:
        parts += ["## Patients, total EQD2 in Gy\n", _markdown(patients.heads, patients.rows)]
    parts += ["## Whole course, total EQD2\n", _markdown(*course_cells(courses, predicted=predicted))]
    parts += [f"{aims_sentence(aims)} {COURSE_ASSUMPTIONS}\n"]
    return "\n".join(parts)


def aims_sentence(aims: PlanningAims) -> str:
    """Return the source of the aims and limits."""
    return f"Aims and limits in EQD2: {aims.name}, {aims.source}."


def _printed(column: str) -> str:
    """Return the word that people read for the contours of a column."""
    return CONTOUR_NAMES.get(column, column)


def _contours(predicted: bool) -> tuple[str, ...]:
    return (MANUAL, AUTOMATIC) if predicted else (MANUAL,)


def _mean_and_sd(row: dict[Any, Any], name: str) -> str:
    mean, sd = row[f"{name}_mean"], row[f"{name}_sd"]
    if pd.isna(mean):
        return "–"
    return f"{mean:z.2f}" if pd.isna(sd) else f"{mean:z.2f} ± {sd:.2f}"


def _format_gy(dose: float, decimals: int = 1, *, bound: bool = False) -> str:
    return "–" if pd.isna(dose) else f"{'≥ ' if bound else ''}{dose:z.{decimals}f}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with its numbers aligned to the right."""
    rule = ["---:" if head.endswith("(Gy)") or head in _COUNT_HEADS else "---" for head in heads]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, rule, *rows))
