"""Control charts of all quantities of all models in a folder of reviews."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gynbtnet.monitoring.ewma import limit_multiple, moving_average
from gynbtnet.monitoring.quantities import QUANTITIES, SCAN_QUANTITIES, Quantity, measure_scan, measure_structure
from gynbtnet.monitoring.reviewed_predictions import ReviewedPrediction
from gynbtnet.monitoring.scores import Floats, normal_scores
from gynbtnet.monitoring.settings import FEWEST_REVIEWS, PERIODS_PER_YEAR, MonitorSettings, Period

Dates = tuple[datetime.date, datetime.date]


@dataclass(frozen=True)
class Chart:
    """Control chart of one quantity.

    Attributes:
        model_sha256: SHA-256 of the model's weights.
        structure: identifier of the structure; empty for a quantity of the scan.
        quantity: the quantity.
        baseline: values of the baseline; reviews in which the quantity is unknown have none.
        points: one row per period after the baseline with reviews: ``period``, ``start`` (date), ``reviews``, ``mean``
            of the values, ``score`` (mean normal score), ``average`` (EWMA), ``limit`` and ``alarm``. Empty if there
            is no chart.
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
        first, last: dates of the first and the last review.
        charts: the charts, also those for which there are too few reviews.
        rate: probability of a false alarm per chart and year.
    """

    name: str
    reviews: int
    first: datetime.date
    last: datetime.date
    charts: tuple[Chart, ...]
    rate: float


def period_of(time: datetime.datetime, by: Period) -> tuple[str, datetime.date]:
    """Return the name of a period, such as ``2026-W07`` (ISO 8601) or ``2026-02``, and its first day.

    Example:
        >>> period_of(datetime.datetime(2026, 1, 1), "week")
        ('2026-W01', datetime.date(2025, 12, 29))
    """
    day = time.date()
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
        baseline: first and last day of the baseline; None: of each chart, the first reviews of the model
            in which its quantity is known.

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
    return ModelCharts(f"{named} {digest[:8]}", len(own), own[0].time.date(), own[-1].time.date(), charts, rate)


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
    known = [(one.time, value) for one, value in zip(reviews, values, strict=True) if value is not None]
    unknown = len(reviews) - len(known)
    if baseline is None:
        first, later = known[: settings.baseline_reviews], known[settings.baseline_reviews :]
        needed = settings.baseline_reviews
    else:
        first = [(time, value) for time, value in known if baseline[0] <= time.date() <= baseline[1]]
        later = [(time, value) for time, value in known if time.date() > baseline[1]]
        needed = FEWEST_REVIEWS
    values_before = np.array([value for _, value in first], float)

    def without_chart(problem: str) -> Chart:
        return Chart(digest, structure, quantity, values_before, pd.DataFrame(), unknown, problem)

    if len(first) < needed:
        reason = f"; unknown in {unknown} reviews" if unknown else ""
        return without_chart(f"too few reviews for a baseline: {len(first)} of {needed}{reason}")
    if not later:
        return without_chart("no review after the baseline")
    if np.ptp(values_before) == 0 and all(value == values_before[0] for _, value in later):
        return without_chart(f"always {values_before[0]:g}")
    span = max((first[-1][0].date() - first[0][0].date()).days + 1, 1)
    days = 365.25 / PERIODS_PER_YEAR[settings.by]
    reviews_per_period = max(round(len(first) * days / span), 1)
    multiple = limit_multiple(len(first), reviews_per_period, PERIODS_PER_YEAR[settings.by], settings.smoothing, rate)
    return Chart(digest, structure, quantity, values_before, _points(later, values_before, settings, multiple), unknown)


def _points(
    later: Sequence[tuple[datetime.datetime, float]], baseline: Floats, settings: MonitorSettings, multiple: float
) -> pd.DataFrame:
    """Return the points of a chart; reviews of a period in which the baseline ended form a separate point."""
    table = pd.DataFrame(
        {
            "period": [period_of(time, settings.by)[0] for time, _ in later],
            "start": [period_of(time, settings.by)[1] for time, _ in later],
            "value": [value for _, value in later],
        }
    )
    table["score"] = normal_scores(baseline, table["value"].to_numpy(float))
    grouped = table.groupby(["period", "start"])
    points = grouped.agg(reviews=("value", "size"), mean=("value", "mean"), score=("score", "mean")).reset_index()
    chart = moving_average(
        points["score"].to_numpy(float), points["reviews"].to_numpy(float), len(baseline), settings.smoothing, multiple
    )
    return points.assign(average=chart.averages, limit=chart.limits, alarm=chart.alarms)
