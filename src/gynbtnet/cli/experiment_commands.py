"""Commands that walk a whole experiment and tell of it, and the one that looks at the machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gynbtnet.cli.app import command, console
from gynbtnet.cli.options import (
    Changes,
    GantryTilt,
    Jobs,
    MissingSlices,
    Out,
    PatientsOption,
    RecipeName,
    UnequalSpacing,
)


@command(
    "gynbtnet run demo --cohort demo/phantom/brachytherapy --unlabelled demo/phantom/unlabelled "
    "--supervised demo/phantom/organs --out demo/experiment"
)
def run(
    recipe: RecipeName,
    cohort: Annotated[Path, typer.Option(help="A clinic's DICOM RT export: CT series and RTSTRUCT files.")],
    out: Out,
    unlabelled: Annotated[
        list[Path] | None, typer.Option(help="Folder of further CTs for stage 1; repeatable.")
    ] = None,
    supervised: Annotated[Path | None, typer.Option(help="Scans in the TotalSegmentator layout, for stage 2.")] = None,
    predict: Annotated[
        list[Path] | None, typer.Option(help="Folder of further scans to contour at the end; repeatable.")
    ] = None,
    patients_from: PatientsOption = "dicom",
    set_: Changes = None,
    jobs: Jobs = 1,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
) -> None:
    """Walk the whole experiment: ingest, split, plan, prepare, train in three stages, predict, evaluate, report.

    Call it again to go on with an experiment that was stopped.
    """
    from gynbtnet.imaging.slice_repairs import Repairs
    from gynbtnet.pipeline import Scans, run_experiment
    from gynbtnet.recipes.loading import load_recipe

    repairs = Repairs(missing_slices, unequal_spacing, gantry_tilt)
    scans = Scans(cohort, tuple(unlabelled or ()), supervised, tuple(predict or ()), patients_from, repairs)
    report = run_experiment(load_recipe(recipe, set_ or ()), scans, out, jobs)
    console.print(f"The report is {report}")


@command("gynbtnet report demo/experiment")
def report(experiment: Annotated[Path, typer.Argument(help="The folder that `gynbtnet run` filled.")]) -> None:
    """Write an experiment's report page anew."""
    from gynbtnet.experiment import Experiment
    from gynbtnet.experiment_report import report_experiment

    console.print(f"The report is {report_experiment(Experiment(experiment))}")


@command("gynbtnet doctor")
def doctor(folder: Annotated[Path, typer.Argument(help="Where results would be written.")] = Path()) -> None:
    """Print versions, cores, memory, devices and disk, and what is missing. Exit code 1 if something needed is."""
    from gynbtnet.doctor import examine

    table = Table(show_header=False, box=None)
    rows = examine(folder)
    for what, found in rows:
        table.add_row(what, found)
    console.print(table)
    raise typer.Exit(int(any(found.startswith("missing") for _, found in rows)))
