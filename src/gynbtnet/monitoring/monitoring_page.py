"""Page and table of control charts."""

import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.monitoring.chart_figure import chart_picture
from gynbtnet.monitoring.charts import Chart, ModelCharts
from gynbtnet.monitoring.reviewed_predictions import FoundReviews
from gynbtnet.monitoring.settings import MonitorSettings
from gynbtnet.pages import html_elements as html
from gynbtnet.pages.page_frame import html_page
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import track

PAGE, TABLE = "monitoring.html", "monitoring.csv"

_RULE = (
    "All reviews of a patient count once, with their mean. A point is the mean of the patients whose first review is "
    "in a {by}. In the upper plot, the dashed line is the mean of the baseline. Each patient gets the normal score of "
    "the rank among the baseline's patients. It counts less as long as there are fewer reviews than usual. The lower "
    "plot is the exponentially weighted moving average (EWMA) of these scores with λ = {smoothing:g}. Above 0 means "
    "higher than in the baseline. The grey area is within the limits. A point beyond them has a cross and is an alarm. "
    "The limits are simulated for a false-alarm rate. If nothing has changed, any of the {charts} charts of this model "
    "raises an alarm in its first year with a probability of at most {rate:g} %, {own:.2g} % per chart. The "
    "uncertainty of the baseline is included. Reviews of one patient may be similar, but patients must be independent "
    "of each other."
)
_MEANING = (
    "An alarm states that something has changed, not what: the model, the scanner, the patients, or the people who "
    "correct. No alarm doesn't show that nothing has changed, least of all with few patients."
)


@dataclass(frozen=True)
class Alarm:
    """A chart with points beyond its limits.

    Attributes:
        model: name of the model.
        structure: identifier of the structure; empty for a quantity of the scan.
        quantity: name of the quantity for people.
        points: number of points beyond the limits.
        first, last: periods of the first and the last of them.
        last_start: first day of the last period.
        direction: "above" or "below" the baseline in the last one.
    """

    model: str
    structure: str
    quantity: str
    points: int
    first: str
    last: str
    last_start: datetime.date
    direction: str


def find_alarms(models: Sequence[ModelCharts]) -> tuple[Alarm, ...]:
    """Return the charts with points beyond their limits.

    Args:
        models: charts of each model.

    Returns:
        One alarm per chart, the latest first.
    """
    alarms = []
    for model in models:
        for chart in model.charts:
            beyond = [row for row in chart.points.to_dict("records") if row["alarm"]]
            if beyond:
                last = beyond[-1]
                direction = "above" if last["average"] > 0 else "below"
                periods = str(beyond[0]["period"]), str(last["period"]), last["start"]
                names = model.name, chart.structure, chart.quantity.title
                alarms.append(Alarm(*names, len(beyond), *periods, direction))
    return tuple(sorted(alarms, key=lambda alarm: alarm.last_start, reverse=True))


def write_monitoring(
    models: Sequence[ModelCharts],
    found: FoundReviews,
    settings: MonitorSettings,
    out: Path,
    names: StructureNames | None = None,
) -> Path:
    """Write ``monitoring.html`` and ``monitoring.csv``; both have dates and numbers, and nothing about a patient.

    Args:
        models: charts of each model.
        found: reviews that they are made from.
        settings: settings of the charts.
        out: folder; an earlier result in it is replaced.
        names: names of the structures; None: the built-in table.

    Returns:
        The path of the page.

    Raises:
        BadInput: If the folder contains anything else.
    """
    names = names or StructureNames.load()
    ensure_replaceable(out, (PAGE, TABLE), PAGE)
    synthetic = any(one.review.synthetic for one in found.reviews)
    page = html_page(
        "Monitoring",
        ((model.name, _model_section(model, settings, names, synthetic=synthetic)) for model in models),
        synthetic=synthetic,
        summary=_summary(models, found, names),
    )
    with atomic_write(out) as folder:
        folder.mkdir()
        (folder / PAGE).write_text(page, encoding="utf-8")
        points_table(models).to_csv(folder / TABLE, index=False)
    return out / PAGE


def points_table(models: Sequence[ModelCharts]) -> pd.DataFrame:
    """Return one row per chart and period; a chart without points has one row with the reason."""
    tables = [
        (chart.points if len(chart.points) else pd.DataFrame([{"period": ""}])).assign(
            model=model.name,
            structure=chart.structure,
            quantity=chart.quantity.name,
            baseline_patients=len(chart.baseline),
            baseline_mean=chart.baseline.mean() if len(chart.baseline) else math.nan,
            unknown=chart.unknown,
            problem=chart.problem,
        )
        for model in models
        for chart in model.charts
    ]
    columns = ["model", "structure", "quantity", "period", "start", "patients", "reviews", "mean", "score"]
    columns += ["average", "limit", "alarm", "baseline_patients", "baseline_mean", "unknown", "problem"]
    return pd.concat(tables, ignore_index=True).reindex(columns=columns)


def alarm_sentence(alarm: Alarm, names: StructureNames) -> str:
    """Return an alarm as a sentence."""
    subject = f"{names.display_name(alarm.structure)}: " if alarm.structure else ""
    times = alarm.last if alarm.points == 1 else f"{alarm.points} points from {alarm.first} to {alarm.last}"
    return f"{alarm.model}: {subject}{alarm.quantity} is {alarm.direction} the baseline ({times})."


def future_sentence(number: int) -> str:
    """Return what a number of reviews from the future means."""
    verb = "has a time" if number == 1 else "have times"
    return f"{counted(number, 'review')} {verb} in the future: check the clock of the computer that wrote them."


def unknown_patients_sentence(number: int) -> str:
    """Return what a number of reviews whose patients are unknown means."""
    return (
        f"The patient of {counted(number, 'review')} is unknown. Each of them counts as a patient, so that false "
        "alarms can be more frequent than stated."
    )


def _summary(models: Sequence[ModelCharts], found: FoundReviews, names: StructureNames) -> Iterator[str]:
    alarms = find_alarms(models)
    charts = sum(bool(len(chart.points)) for model in models for chart in model.charts)
    headline = f"{counted(len(alarms), 'chart')} beyond the limits" if alarms else "No alarm"
    if not charts:
        headline = "No chart yet: too few patients"
    yield html.paragraph(headline, "headline")
    yield html.paragraph(
        f"{counted(len(found.reviews), 'review')} of {counted(len(models), 'model')}, {counted(charts, 'chart')}."
        + (
            f" {counted(found.replaced, 'earlier review')} of the same predictions not counted."
            if found.replaced
            else ""
        )
        + (f" {counted(len(found.problems), 'file')} could not be used." if found.problems else "")
        + " The digits after the name of a model begin the SHA-256 of its weights."
    )
    if found.in_future:
        yield html.paragraph(future_sentence(found.in_future))
    if alarms:
        yield html.bullets(alarm_sentence(alarm, names) for alarm in alarms)


def _model_section(
    model: ModelCharts, settings: MonitorSettings, names: StructureNames, *, synthetic: bool
) -> Iterator[str]:
    patients = counted(model.patients, "patient")
    yield html.paragraph(f"{counted(model.reviews, 'review')} of {patients} from {model.first} to {model.last}.")
    if model.unknown_patients:
        yield html.paragraph(unknown_patients_sentence(model.unknown_patients))
    heads = ["structure", "quantity", "result", "baseline", "patients of the baseline"]
    heads += [f"latest {settings.by}", "its patients", "points"]
    yield html.table(heads, [_row(chart, names) for chart in model.charts], numbers=slice(3, None))
    drawn = [chart for chart in model.charts if len(chart.points)]
    if not drawn:
        return
    yield html.badge_legend([("good", "within the limits: no alarm"), ("bad", "beyond the limits: an alarm")])
    rate, own = 100 * settings.false_alarms, 100 * model.rate
    rule = _RULE.format(by=settings.by, smoothing=settings.smoothing, charts=len(model.charts), rate=rate, own=own)
    yield html.paragraph(rule, "note")
    yield html.paragraph(_MEANING, "note")
    pictures = [
        chart_picture(chart, _title(chart, names), synthetic=synthetic) for chart in track(drawn, "Drawing charts")
    ]
    yield html.figure(pictures, "")


def _title(chart: Chart, names: StructureNames) -> str:
    return f"{names.display_name(chart.structure) if chart.structure else 'scan'}: {chart.quantity.title}"


def _row(chart: Chart, names: StructureNames) -> list[html.Cell]:
    decimals = chart.quantity.decimals
    structure = names.display_name(chart.structure) if chart.structure else "scan"
    baseline = f"{chart.baseline.mean():.{decimals}f}" if len(chart.baseline) else "–"
    result: html.Cell = chart.problem
    latest = patients = "–"
    if len(chart.points):
        last = chart.points.iloc[-1]
        latest, patients = f"{last['mean']:.{decimals}f}", str(last["patients"])
        alarms = int(chart.points["alarm"].sum())
        badge = html.Badge("within the limits", "good", "no alarm")
        if alarms:
            badge = html.Badge(f"{alarms} beyond", "bad", "points beyond the limits: an alarm")
        result = (badge, f"unknown in {counted(chart.unknown, 'review')}") if chart.unknown else badge
    numbers = [baseline, str(len(chart.baseline)), latest, patients, str(len(chart.points))]
    return [structure, chart.quantity.title, result, *numbers]
