"""Command that monitors a model in use."""

import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gynbtnet.cli.application import command, console
from gynbtnet.cli.options import Aliases, Out
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

ALARM = 3
"""Exit code if something has changed."""


class PeriodForm(StrEnum):
    """Patients who form one point of a chart, by their first reviews."""

    week = "week"
    month = "month"


@command("gynbtnet monitor --self-test demo/experiment/runs/task --record --out demo/steps/self_test")
def monitor(
    out: Out,
    reviews: Annotated[
        Path | None,
        typer.Argument(
            metavar="REVIEWS", help="Folder of predictions with their reviews, at any depth, such as a node's results."
        ),
    ] = None,
    by: Annotated[PeriodForm, typer.Option(help="One point per week or per month.")] = PeriodForm.week,
    baseline: Annotated[
        str,
        typer.Option(
            metavar="N|DATE..DATE",
            help="Baseline of each chart: the first N patients (at least 20) who have its quantity, or the reviews "
            "from a day to another, e.g. 2026-01-01..2026-03-31.",
        ),
    ] = "30",
    since: Annotated[
        datetime.datetime | None,
        typer.Option(
            metavar="DATE",
            formats=["%Y-%m-%d"],
            help="Exit code 3 only for points in periods that begin on this day or later. Default: for all.",
        ),
    ] = None,
    self_test: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL", help="Predict a synthetic scan with this model, and compare with the record in --out."
        ),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="With --self-test: write the record, on the day of commissioning.")
    ] = False,
    aliases: Aliases = None,
) -> None:
    """Control charts of reviews, or a constancy check of a model. Exit code 3 on an alarm or a difference.

    Charts: edited share, added path length, share accepted untouched, flags and volumes of each structure, and the HU
    of the body. All reviews of a patient count once. Each model has its own baseline. Writes monitoring.html and
    monitoring.csv.
    """
    if (reviews is None) == (self_test is None):
        raise BadInput("Give either REVIEWS, a folder of reviews, or --self-test MODEL.")
    if record and self_test is None:
        raise BadInput("--record is for --self-test MODEL.")
    if self_test is not None:
        alarm = _self_test(self_test, out, record=record)
    else:
        assert reviews is not None
        alarm = _charts(reviews, out, by, baseline, since.date() if since else None, aliases)
    if alarm:
        raise typer.Exit(ALARM)


def _charts(
    folder: Path, out: Path, by: PeriodForm, baseline: str, since: datetime.date | None, aliases: Path | None
) -> bool:
    """Write the page and print its summary; return whether there is an alarm."""
    from gynbtnet.imaging.structure_names import StructureNames
    from gynbtnet.monitoring.charts import chart_models
    from gynbtnet.monitoring.monitoring_page import (
        alarm_sentence,
        find_alarms,
        future_sentence,
        unknown_patients_sentence,
        write_monitoring,
    )
    from gynbtnet.monitoring.reviewed_predictions import find_reviews
    from gynbtnet.monitoring.settings import MonitorSettings

    names = StructureNames.load(aliases)
    dates = _dates(baseline)
    settings = MonitorSettings(by=by.value, **({} if dates else {"baseline_patients": _patients(baseline)}))
    found = find_reviews(folder)
    models = chart_models(found.reviews, settings, dates)
    page = write_monitoring(models, found, settings, out, names)
    for problem in found.problems:
        console.print(f"Left out: {problem}")
    if found.in_future:
        console.print(future_sentence(found.in_future))
    alarms = find_alarms(models)
    new = [alarm for alarm in alarms if since is None or alarm.last_start >= since]
    for model in models:
        own = sum(bool(len(chart.points)) for chart in model.charts)
        reviews = f"{counted(model.reviews, 'review')} of {counted(model.patients, 'patient')}"
        console.print(f"{model.name}: {reviews}, {own} of {len(model.charts)} charts.")
        if model.unknown_patients:
            console.print(unknown_patients_sentence(model.unknown_patients))
    for alarm in new:
        console.print(alarm_sentence(alarm, names))
    if len(alarms) > len(new):
        console.print(f"Earlier alarms: {len(alarms) - len(new)}; the page lists them.")
    drawn = any(len(chart.points) for model in models for chart in model.charts)
    result = "ALARM" if new else "No alarm" if drawn else "No chart yet, so no alarm is possible: too few patients"
    console.print(f"{result}. The page is {page}")
    return bool(new)


def _self_test(path: Path, out: Path, *, record: bool) -> bool:
    """Predict the phantom as ``predict`` does and record or compare the result; return whether its voxels differ."""
    from gynbtnet.inference.engine.settings import PredictionSettings
    from gynbtnet.inference.models.evaluated_settings import evaluated_settings
    from gynbtnet.inference.models.model_loading import load_model
    from gynbtnet.monitoring.self_test import compare_self_tests, read_self_test, record_self_test, run_self_test

    before = None if record else read_self_test(out)
    if record and out.exists():
        raise BadInput(f"{out} exists; a record isn't replaced. Give a new folder, or delete this one.")
    settings = evaluated_settings(path) or PredictionSettings()
    now = run_self_test(load_model(path, settings), settings)
    if before is None:
        record_self_test(now, out)
        console.print(f"Recorded in {out}; compare with `gynbtnet monitor --self-test {path} --out {out}`.")
        return False
    difference = compare_self_tests(before, now)
    for change in difference.changes:
        console.print(f"Changed: {change}")
    if not difference.same_scan:
        console.print("Changed: the voxels of the synthetic scan")
    for structure, voxels in difference.voxels.items():
        console.print(f"{structure}: {voxels} voxels differ")
    same = difference.same_voxels and difference.same_scan
    console.print(f"{'Same' if same else 'NOT the same'} voxels as on {before.record.time[:10]}.")
    return not same


def _dates(text: str) -> tuple[datetime.date, datetime.date] | None:
    """Parse DATE..DATE; None if the text is a number.

    Raises:
        BadInput: If it is neither.
    """
    first, separator, last = text.partition("..")
    if not separator:
        return None
    try:
        dates = datetime.date.fromisoformat(first.strip()), datetime.date.fromisoformat(last.strip())
    except ValueError as error:
        raise BadInput(f"--baseline {text} is not DATE..DATE; expected such as 2026-01-01..2026-03-31.") from error
    if dates[1] < dates[0]:
        raise BadInput(f"--baseline {text} ends before it begins; exchange the dates.")
    return dates


def _patients(text: str) -> int:
    from gynbtnet.monitoring.settings import FEWEST_PATIENTS

    if not text.isascii() or not text.isdigit() or not FEWEST_PATIENTS <= int(text) <= 1000:
        raise BadInput(
            f"--baseline {text} is neither a number of patients from {FEWEST_PATIENTS} to 1000 nor DATE..DATE."
        )
    return int(text)
