"""Doses as tables: differences over cases, and what people read."""

from collections.abc import Sequence
from dataclasses import astuple, fields
from typing import Any

import pandas as pd

from gynbtnet.evaluation.dose.course import ASSUMED, CourseDose
from gynbtnet.evaluation.dose.metrics import NO_DOSE
from gynbtnet.evaluation.dose.planning_aims import PlanningAims
from gynbtnet.evaluation.dose.score import AUTOMATIC, MANUAL, DoseScore

DEFINED = (
    "Dose of one fraction in Gy: D90, D98 and D50 are the least dose in the hottest 90, 98 and 50 % of the volume, "
    "D2cc, D1cc and D0.1cc in the hottest 2, 1 and 0.1 cm³. Mean ± SD over the cases in which both contours have the "
    "figure; difference: automatic minus manual. Not answered: cases with a dose in which one of them has none, since "
    "the contour is missing, smaller than the volume, or outside the dose grid. They count in no mean. Fractions of "
    "one patient are not independent."
)
"""What stands below every table of differences."""
JUDGED = ("aim met", "limit met", "aim missed", "limit missed")
_COUNTED = ("cases", "patients", "not answered", "no dose", "fractions")
_FIGURES = {"manual": "manual_gy", "automatic": "automatic_gy", "difference": "difference_gy"}


def dose_table(
    rows: Sequence[DoseScore] | Sequence[CourseDose], kind: type[DoseScore] | type[CourseDose]
) -> pd.DataFrame:
    """One row each, columns as the dataclass names them."""
    return pd.DataFrame([astuple(row) for row in rows], columns=[field.name for field in fields(kind)])


def summarise_dose(scores: Sequence[DoseScore], *, predicted: bool) -> pd.DataFrame:
    """Over the cases of each structure and figure: manual, automatic and their difference, mean and SD, Gy.

    Columns: structure, figure; ``manual_mean``, ``manual_sd`` and so on, also of the absolute difference,
    ``absolute_mean`` (all over the same cases); ``cases`` and ``patients`` in them; ``not_answered``, cases with a dose
    that has no such figure by one of the contours; ``no_dose``. Where nothing was predicted, only what is manual.
    """
    table = dose_table(scores, DoseScore)
    figures = _FIGURES if predicted else {"manual": "manual_gy"}
    rows = []
    for (structure, figure), group in table.groupby(["structure", "figure"], sort=False):
        with_dose = group[group["manual_note"] != NO_DOSE.note]
        both = with_dose.dropna(subset=list(figures.values()))
        row: dict[str, Any] = {"structure": structure, "figure": figure}
        for name, column in figures.items():
            row[f"{name}_mean"], row[f"{name}_sd"] = both[column].mean(), both[column].std()
        if predicted:
            row["absolute_mean"] = both["difference_gy"].abs().mean()
        row |= {"cases": len(both), "patients": both["patient"].nunique()}
        row |= {"not_answered": len(with_dose) - len(both), "no_dose": len(group) - len(with_dose)}
        rows.append(row)
    return pd.DataFrame(rows)


Cells = tuple[list[str], list[list[str]]]
"""Heads and rows as people read them."""


def fraction_cells(summary: pd.DataFrame, *, predicted: bool) -> Cells:
    """What :func:`summarise_dose` found; words in the first two columns, then numbers."""
    shown = (*_whose(predicted), *(("difference",) if predicted else ()))
    heads = [f"{name} (Gy)" for name in (*shown, *(("|difference|",) if predicted else ()))]
    rows = []
    for row in summary.to_dict("records"):
        cells = [_spread(row, name) for name in shown]
        if predicted:
            cells.append(_gray(row["absolute_mean"], 2))
        counts = [str(row[name]) for name in ("cases", "patients", "not_answered", "no_dose")]
        rows.append([str(row["structure"]), str(row["figure"]), *cells, *counts])
    return ["structure", "figure", *heads, *_COUNTED[:4]], rows


def score_cells(scores: Sequence[DoseScore], *, predicted: bool) -> Cells:
    """Every figure of every case; numbers from the fourth column to the one before "note"."""
    columns = _FIGURES if predicted else {MANUAL: _FIGURES[MANUAL]}
    rows = []
    for one in scores:
        doses = [_gray(getattr(one, column), 2) for column in columns.values()]
        told = {"": one.manual_note} if not predicted or one.manual_note == one.automatic_note else None
        told = told or {MANUAL: one.manual_note, AUTOMATIC: one.automatic_note}
        note = "; ".join(f"{who} {note}".strip() for who, note in told.items() if note)
        rows.append([one.case, one.structure, one.figure, *doses, note])
    return ["case", "structure", "figure", *(f"{name} (Gy)" for name in columns), "note"], rows


def course_cells(courses: Sequence[CourseDose], *, predicted: bool) -> Cells:
    """Every total; numbers from the fourth column to the one before "aim"."""
    whose = _whose(predicted)
    heads = ["patient", "structure", "figure", "α/β (Gy)", "fractions", "external (Gy)"]
    heads += [f"{name} (Gy)" for name in (*whose, *(("difference",) if predicted else ()))]
    heads += ["aim", "limit", *(f"{name}: verdict" for name in whose), "note"]
    rows = []
    for one in courses:
        totals = [one.manual_eqd2_gy, *((one.automatic_eqd2_gy, one.difference_eqd2_gy) if predicted else ())]
        verdicts = [one.manual_verdict, *((one.automatic_verdict,) if predicted else ())]
        cells = [one.patient, one.structure, one.figure, f"{one.alpha_beta_gy:g}", str(one.fractions)]
        cells += [_gray(dose) for dose in (one.external_eqd2_gy, *totals)]
        rows.append([*cells, one.aim, one.limit, *verdicts, one.note])
    return heads, rows


def verdict_cells(courses: Sequence[CourseDose], *, predicted: bool) -> Cells:
    """Of each figure that something is asked of, in how many patients which verdict; counts from the sixth column."""
    heads = ["structure", "figure", "contours", "aim (Gy)", "limit (Gy)", *JUDGED, "not judged"]
    asked: dict[tuple[str, str, str, str], list[CourseDose]] = {}
    for one in courses:
        if one.aim or one.limit:
            asked.setdefault((one.structure, one.figure, one.aim, one.limit), []).append(one)
    rows = []
    for (structure, figure, aim, limit), group in asked.items():
        for who in _whose(predicted):
            verdicts = [getattr(one, f"{who}_verdict") for one in group]
            counts = [str(verdicts.count(verdict)) for verdict in heads[5:]]
            rows.append([structure, figure, who, aim or "–", limit or "–", *counts])
    return heads, rows


def dose_markdown(
    summary: pd.DataFrame, courses: Sequence[CourseDose], aims: PlanningAims, *, predicted: bool, synthetic: bool
) -> str:
    """What people read in a terminal: doses of fractions, totals of courses, what they assume."""
    parts = ["**Synthetic data: no patient was treated with these doses.**\n"] if synthetic else []
    parts += ["## A fraction\n", _markdown(*fraction_cells(summary, predicted=predicted)), f"{DEFINED}\n"]
    parts += ["## A course, total EQD2\n", _markdown(*course_cells(courses, predicted=predicted))]
    parts += [f"{aims_sentence(aims)} {ASSUMED}\n"]
    return "\n".join(parts)


def aims_sentence(aims: PlanningAims) -> str:
    """What verdicts are made of, and where it stands."""
    return f"Aims and limits in EQD2: {aims.name}, {aims.source}."


def _whose(predicted: bool) -> tuple[str, ...]:
    return (MANUAL, AUTOMATIC) if predicted else (MANUAL,)


def _spread(row: dict[Any, Any], name: str) -> str:
    mean, sd = row[f"{name}_mean"], row[f"{name}_sd"]
    if pd.isna(mean):
        return "–"
    return f"{mean:z.2f}" if pd.isna(sd) else f"{mean:z.2f} ± {sd:.2f}"


def _gray(dose: float, decimals: int = 1) -> str:
    return "–" if pd.isna(dose) else f"{dose:z.{decimals}f}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, its numbers set to the right."""
    rule = ["---:" if head.endswith("(Gy)") or head in _COUNTED else "---" for head in heads]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, rule, *rows))
