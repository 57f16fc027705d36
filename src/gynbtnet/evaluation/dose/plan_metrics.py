"""Volume, mean dose, D5cc, V100, V150 and V200 of one fraction: metrics that have no total over a course."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import pandas as pd

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.dose.dvh import DoseVolumeHistogram
from gynbtnet.evaluation.dose.metrics import (
    NO_CONTOUR,
    STRUCTURES_WITH_SOURCE,
    DoseMetric,
    dose_metric,
    is_bound,
    is_target,
    outside_note,
)
from gynbtnet.imaging.structure_names import StructureNames

MULTIPLES = (100, 150, 200)
"""Doses of V100, V150 and V200 in % of the prescribed dose."""
DEFINITIONS = (
    "One fraction, mean ± SD over the cases in which both contours have the metric, without lower bounds. V100, V150 "
    "and V200: share of the volume with at least 100, 150 and 200 % of the prescribed dose. D5cc: minimum dose to the "
    "hottest 5 cm³."
)
"""Text below the table."""


@dataclass(frozen=True)
class PlanMetric:
    """One metric of one structure in the dose of one case.

    Attributes:
        case: id of the case.
        patient: study ID of the patient.
        fraction: number of the fraction, 1 for the patient's first.
        structure: identifier of the structure.
        metric: ``volume``, ``mean``, ``D5cc`` of an organ, or ``V100``, ``V150`` or ``V200`` of a target.
        unit: "cm³", "Gy" or "%".
        manual: value by the cohort's contours; NaN with a note.
        automatic: value by the predicted contours; NaN with a note, or if nothing was predicted.
        difference: automatic minus manual; NaN if one of them is NaN or a lower bound.
        manual_note: restriction of the manual value; otherwise empty.
        automatic_note: restriction of the automatic value; otherwise empty.
    """

    case: str
    patient: str
    fraction: int
    structure: str
    metric: str
    unit: str
    manual: float
    automatic: float
    difference: float
    manual_note: str = ""
    automatic_note: str = ""


def plan_metrics(
    case: Case,
    structure: str,
    manual: DoseVolumeHistogram | None,
    automatic: DoseVolumeHistogram | None,
    names: StructureNames,
    prescription_gy: float | None,
    *,
    predicted: bool,
) -> list[PlanMetric]:
    """Compute the metrics of one structure.

    Args:
        case: the case that the dose belongs to.
        structure: the structure.
        manual: its dose by the cohort's contours; None if they are unknown.
        automatic: its dose by the predicted contours; None if nothing was predicted.
        names: table that identifies targets.
        prescription_gy: prescribed dose of a fraction in Gy; None: without V100, V150 and V200.
        predicted: whether there are automatic contours.
    """
    values = [_values(structure, dose, names, prescription_gy) for dose in (manual, automatic)]
    return [
        PlanMetric(
            case=case.id,
            patient=case.patient,
            fraction=case.fraction,
            structure=structure,
            metric=name,
            unit=_unit(name),
            manual=ours.dose_gy,
            automatic=theirs.dose_gy,
            difference=math.nan if is_bound(ours.note) or is_bound(theirs.note) else theirs.dose_gy - ours.dose_gy,
            manual_note=ours.note,
            automatic_note=theirs.note if predicted else "",
        )
        for (name, ours), theirs in zip(values[0].items(), values[1].values(), strict=True)
    ]


def plan_metric_table(metrics: Sequence[PlanMetric]) -> pd.DataFrame:
    """Return a table with one row per value; its columns are the fields of :class:`PlanMetric`."""
    return pd.DataFrame([astuple(row) for row in metrics], columns=[field.name for field in fields(PlanMetric)])


def plan_metric_cells(metrics: Sequence[PlanMetric], *, predicted: bool) -> tuple[list[str], list[list[str]]]:
    """Return the means over cases for people, one row per structure and metric; numbers from the third column."""
    names = StructureNames.load()
    columns = ["manual", *(["automatic", "difference"] if predicted else [])]
    rows = []
    for (structure, metric, unit), group in plan_metric_table(metrics).groupby(
        ["structure", "metric", "unit"], sort=False
    ):
        bounded = group["manual_note"].map(is_bound) | group["automatic_note"].map(is_bound)
        complete = group[~bounded].dropna(subset=columns)
        cells = [_mean_and_sd(complete[column]) for column in columns]
        counts = [str(len(complete)), str(complete["patient"].nunique()), str(len(group) - len(complete))]
        rows.append([names.display_name(str(structure)), f"{metric} ({unit})", *cells, *counts])
    return ["structure", "metric", *columns, "cases", "patients", "not evaluable"], rows


def _values(
    structure: str, dose: DoseVolumeHistogram | None, names: StructureNames, prescription_gy: float | None
) -> Mapping[str, DoseMetric]:
    with_source, target = structure in STRUCTURES_WITH_SOURCE, is_target(structure, names)
    wanted = ["volume"]
    if not with_source:
        wanted.append("mean")
        wanted += [] if target else ["D5cc"]
        wanted += [f"V{multiple}" for multiple in MULTIPLES] if target and prescription_gy else []
    if dose is None or not dose.volume_cm3:
        return dict.fromkeys(wanted, NO_CONTOUR)
    return {name: _value(name, dose, prescription_gy or math.nan) for name in wanted}


def _value(name: str, dose: DoseVolumeHistogram, prescription_gy: float) -> DoseMetric:
    if name == "volume":
        return DoseMetric(dose.volume_cm3)
    if name == "mean":
        if dose.outside_cm3:
            return DoseMetric(math.nan, outside_note(dose))
        return DoseMetric(float(dose.doses_gy.mean(dtype=float)))
    if name.startswith("V"):
        limit_gy = prescription_gy * int(name[1:]) / 100
        share = 100 * float(dose.volume_at(limit_gy)) / dose.volume_cm3
        is_exact = not dose.outside_cm3 or limit_gy >= dose.face_gy  # nothing outside the grid is hotter
        return DoseMetric(share) if is_exact else DoseMetric(share, f"lower bound, {outside_note(dose)}")
    return dose_metric(name, dose)


def _unit(name: str) -> str:
    if name == "volume":
        return "cm³"
    return "%" if name.startswith("V") else "Gy"


def _mean_and_sd(values: "pd.Series[float]") -> str:
    if values.empty:
        return "–"
    return f"{values.mean():z.2f}" if len(values) == 1 else f"{values.mean():z.2f} ± {values.std():.2f}"
