"""Control charts of all quantities of all models in a folder of reviews.

Their unit is the patient: all reviews of one patient count once, in the period of the first.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import pandas as pd

from gynbtnet.monitoring.ewma import limit_multiple, moving_average
from gynbtnet.monitoring.quantities import QUANTITIES, SCAN_QUANTITIES, Quantity, measure_scan, measure_structure
from gynbtnet.monitoring.reviewed_predictions import ReviewedPrediction
from gynbtnet.monitoring.scores import Floats, patient_scores
from gynbtnet.monitoring.settings import COURSE_GAP_DAYS, FEWEST_PATIENTS, PERIODS_PER_YEAR, MonitorSettings, Period

Dates = tuple[datetime.date, datetime.date]
_DatedValues = Sequence[tuple[datetime.date, float]]
"""Values of one patient's reviews with their days, in order."""


@dataclass(frozen=True)
class Chart:
    """Control chart of one quantity.

    Attributes:
        model_sha256: SHA-256 of the model's weights.
        structure: identifier of the structure; empty for a quantity of the scan.
        quantity: the quantity.
        baseline: mean of each patient of the baseline; reviews in which the quantity is unknown don't count.
        points: one row per period after the baseline with new patients: ``period``, ``start`` (date), ``patients``,
            ``reviews``, ``mean`` of the patients' means, ``score`` (mean normal score), ``average`` (EWMA), ``limit``
            and ``alarm``. Empty if there is no chart.
        unknown: number of reviews in which the quantity is unknown.
        problem: reason why there is no chart; empty if there is one.
    """

    model_sha256: str
    structure: str
    quantity: Quantity
    baseline: Floats
    points: pd.DataFrame
    unknown: int
    problem: str = ""


@dataclass(frozen=True)
class ModelCharts:
    """Charts of one model.

    Attributes:
        name: name of the model with the first digits of its SHA-256.
        reviews: number of reviews.
        patients: number of patients.
        unknown_patients: number of reviews whose patient is unknown; each counts as a patient.
        first, last: dates of the first and the last review.
        charts: the charts, also those for which there are too few patients.
        rate: probability of a false alarm per chart and year.
    """

    name: str
    reviews: int
    patients: int
    unknown_patients: int
    first: datetime.date
    last: datetime.date
    charts: tuple[Chart, ...]
    rate: float


def period_of(day: datetime.date, by: Period) -> tuple[str, datetime.date]:
    """Return the name of a period, such as ``2026-W07`` (ISO 8601) or ``2026-02``, and its first day.

    Example:
        >>> period_of(datetime.date(2026, 1, 1), "week")
        ('2026-W01', datetime.date(2025, 12, 29))
    """
    if by == "month":
        return f"{day:%Y-%m}", day.replace(day=1)
    year, week, weekday = day.isocalendar()
    return f"{year}-W{week:02d}", day - datetime.timedelta(days=weekday - 1)


def chart_models(
    reviews: Sequence[ReviewedPrediction], settings: MonitorSettings, baseline: Dates | None = None
) -> tuple[ModelCharts, ...]:
    """Return the charts of each model; a changed digest of the weights begins new charts with a new baseline.

    Args:
        reviews: reviews sorted by time.
        settings: period, smoothing, false-alarm rate and size of the baseline.
        baseline: first and last day of the baseline; None: of each chart, the first patients of the model
            in whom its quantity is known.

    Returns:
        One item per model, in the order of their first reviews.
    """
    by_model: dict[str, list[ReviewedPrediction]] = {}
    for one in reviews:
        by_model.setdefault(one.review.model_sha256, []).append(one)
    return tuple(_model_charts(own, settings, baseline) for own in by_model.values())


def _model_charts(own: Sequence[ReviewedPrediction], settings: MonitorSettings, baseline: Dates | None) -> ModelCharts:
    digest = own[0].review.model_sha256
    structures = list(dict.fromkeys(name for one in own for name in one.review.structures))
    measured = {structure: [measure_structure(one, structure) for one in own] for structure in structures}
    wanted = [(structure, quantity, measured[structure]) for structure in structures for quantity in QUANTITIES]
    wanted += [("", quantity, [measure_scan(one) for one in own]) for quantity in SCAN_QUANTITIES]
    rate = settings.false_alarms / len(wanted)
    charts = tuple(
        _chart(digest, structure, quantity, own, [row[quantity.name] for row in rows], settings, baseline, rate)
        for structure, quantity, rows in wanted
    )
    named = next((one.prediction.model.name for one in own if one.prediction), "model")
    return ModelCharts(
        name=f"{named} {digest[:8]}",
        reviews=len(own),
        patients=len({_patient(one) for one in own}),
        unknown_patients=sum(one.patient is None for one in own),
        first=own[0].time.date(),
        last=own[-1].time.date(),
        charts=charts,
        rate=rate,
    )


def _patient(one: ReviewedPrediction) -> tuple[bool, str]:
    """Return what identifies the patient; a review whose patient is unknown is its own."""
    return one.patient is None, one.patient or one.review.scan_sha256


def _chart(
    digest: str,
    structure: str,
    quantity: Quantity,
    reviews: Sequence[ReviewedPrediction],
    values: Sequence[float | None],
    settings: MonitorSettings,
    baseline: Dates | None,
    rate: float,
) -> Chart:
    by_patient: dict[tuple[bool, str], list[tuple[datetime.date, float]]] = {}
    for one, value in zip(reviews, values, strict=True):
        if value is not None:
            by_patient.setdefault(_patient(one), []).append((one.time.date(), value))
    first, later = _split(list(by_patient.values()), settings.baseline_patients, baseline)
    needed = settings.baseline_patients if baseline is None else FEWEST_PATIENTS
    before = _table(first)
    means = np.nanmean(before, axis=1) if first else np.array([])
    unknown = sum(value is None for value in values)

    def without_chart(problem: str) -> Chart:
        return Chart(digest, structure, quantity, means, pd.DataFrame(), unknown, problem)

    if len(first) < needed:
        reason = f"; unknown in {unknown} reviews" if unknown else ""
        return without_chart(f"too few patients for a baseline: {len(first)} of {needed}{reason}")
    if not later:
        return without_chart("no patient after the baseline")
    if len({value for own in (*first, *later) for _, value in own}) == 1:
        return without_chart(f"always {means[0]:g}")
    multiple = limit_multiple(len(first), PERIODS_PER_YEAR[settings.by], settings.smoothing, rate)
    ongoing_since = reviews[-1].time.date() - datetime.timedelta(days=COURSE_GAP_DAYS)
    points = _points(later, before, ongoing_since, settings, multiple)
    return Chart(digest, structure, quantity, means, points, unknown)


def _split(
    patients: Sequence[_DatedValues], number: int, baseline: Dates | None
) -> tuple[list[_DatedValues], list[_DatedValues]]:
    """Return the reviews of the baseline's patients and those of later patients.

    A patient with a review before the end of a baseline of dates is no later one; her reviews after it are left out.
    """
    if baseline is None:
        return list(patients[:number]), list(patients[number:])
    inside = [[(day, value) for day, value in own if baseline[0] <= day <= baseline[1]] for own in patients]
    return [own for own in inside if own], [own for own in patients if own[0][0] > baseline[1]]


def _table(patients: Sequence[_DatedValues]) -> Floats:
    """Return the values of each patient in a row, NaN after the last."""
    rows = [[value for _, value in own] for own in patients]
    return np.array(list(zip_longest(*rows, fillvalue=np.nan)), float).T


def _points(
    later: Sequence[_DatedValues],
    baseline: Floats,
    ongoing_since: datetime.date,
    settings: MonitorSettings,
    multiple: float,
) -> pd.DataFrame:
    """Return the points of a chart; patients of a period in which the baseline ended form a separate point.

    The course of a patient with a review on ``ongoing_since`` or later isn't over.
    """
    values = _table(later)
    table = pd.DataFrame(
        {
            "period": [period_of(own[0][0], settings.by)[0] for own in later],
            "start": [period_of(own[0][0], settings.by)[1] for own in later],
            "reviews": [len(own) for own in later],
            "mean": np.nanmean(values, axis=1),
            "score": patient_scores(baseline, values, np.array([own[-1][0] < ongoing_since for own in later])),
        }
    )
    grouped = table.groupby(["period", "start"])
    points = grouped.agg(
        patients=("reviews", "size"), reviews=("reviews", "sum"), mean=("mean", "mean"), score=("score", "mean")
    ).reset_index()
    chart = moving_average(
        points["score"].to_numpy(float), points["patients"].to_numpy(float), len(baseline), settings.smoothing, multiple
    )
    return points.assign(average=chart.averages, limit=chart.limits, alarm=chart.alarms)
