"""Command that commissions a model on a clinic's own cases."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from gynbtnet.cli.application import command, console, print_table
from gynbtnet.cli.options import Aliases, Jobs, ModelPath, PredictionChanges
from gynbtnet.runtime.errors import BadInput

if TYPE_CHECKING:
    from gynbtnet.commissioning.record import CommissioningRecord
    from gynbtnet.imaging.structure_names import StructureNames


@command(
    "gynbtnet commission demo/steps/runs/task --cohort demo/experiment/cohorts/task "
    "--split demo/experiment/split.json --limits demo/steps/limits.yaml --out demo/steps/commissioning"
)
def commission(
    model: ModelPath,
    cohort: Annotated[
        Path | None,
        typer.Option(metavar="LOCAL", help="Local cases with contours of a person: a folder made by gynbtnet ingest."),
    ] = None,
    limits: Annotated[Path | None, typer.Option(help="YAML file of the limits, which --init proposes.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="KIT", help="Folder of the kit.")] = None,
    init: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write proposed limits with reasons and sources to this file, and end."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Only the test patients of this split.")] = None,
    doses: Annotated[
        Path | None,
        typer.Option(help="Folder with RTDOSE files, or CASE.nii.gz in Gy. Default: the folders that were ingested."),
    ] = None,
    limits_changed: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Reason why limits were changed after results; the page shows it."),
    ] = None,
    aliases: Aliases = None,
    jobs: Jobs = 1,
    set_: PredictionChanges = None,
) -> None:
    """Commission a model on local cases, before use: one page that prints to PDF, commission.html, with its data.

    Limits are set beforehand and recorded when first seen. Each gets a verdict by an interval over patients. Scans with
    a planted failure show what the software notices. A patient of the training among the cases is refused.

    The folder import_check in the kit has a phantom RTSTRUCT for the planning system, and a form. Run the command again
    when the form is filled. An interrupted command resumes. The result is no approval of the software.
    """
    from gynbtnet.commissioning.commission import commission_model
    from gynbtnet.commissioning.limits import Limits
    from gynbtnet.commissioning.proposal import write_proposal
    from gynbtnet.commissioning.record import PAGE
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split
    from gynbtnet.imaging.structure_names import StructureNames
    from gynbtnet.inference.engine.settings import PredictionSettings
    from gynbtnet.inference.models.evaluated_settings import evaluated_settings
    from gynbtnet.inference.models.model_loading import load_model
    from gynbtnet.recipes.loading import settings_of

    if init is not None:
        write_proposal(load_model(model).structures, init)
        console.print(f"Wrote {init}; change the limits to your clinic's before you see results.")
        return
    if cohort is None or limits is None or out is None:
        raise BadInput("commission needs --cohort, --limits and --out, or --init alone to write limits.")
    base = evaluated_settings(model) or PredictionSettings()
    changes = [change.removeprefix("prediction.") for change in set_ or ()]
    settings = settings_of(PredictionSettings, base.model_dump(mode="json"), changes, Path("the prediction settings"))
    patients = Cohort.load(cohort)
    names = StructureNames.load(aliases)
    record = commission_model(
        model,
        patients.of_patients(Split.load(split).test) if split else patients,
        Limits.load(limits),
        out,
        settings=settings,
        doses=doses,
        limits_changed=limits_changed or "",
        names=names,
        jobs=jobs,
    )
    _print_results(record, names)
    console.print(f"The page is {out / PAGE}")


def _print_results(record: "CommissioningRecord", names: "StructureNames") -> None:
    from gynbtnet.commissioning.limits import METRICS
    from gynbtnet.commissioning.page import open_points

    table = Table(
        *("structure", "metric", Column("limit", justify="right"), Column("mean", justify="right"), "verdict"),
        box=None,
        padding=(0, 1, 0, 0),
    )
    assert record.results is not None
    for result in record.results.limits:
        metric, mean = METRICS[result.metric], result.judgement.mean
        table.add_row(
            names.display_name(result.structure),
            metric.title,
            metric.printed_limit(result.limit.limit),
            "–" if mean is None else metric.printed(mean),
            result.judgement.verdict,
        )
    print_table(table)
    console.print("Planted failures, and what the software made of them:")
    for failure in record.results.planted:
        console.print(f"  {failure.outcome}: {failure.planted}")
    for point in open_points(record):
        console.print(point)
