"""Machine whose seconds are the budget of learning curves; those of another one buy another number of steps."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from gynbtnet.experiment.curves.finished_elsewhere import NOT_OF_CURVES
from gynbtnet.experiment.curves.folders import CurvesFolder
from gynbtnet.experiment.curves.run_list import CurveRun
from gynbtnet.experiment.curves.run_record import read_record, read_records
from gynbtnet.experiment.curves.setup import CurvesSetup
from gynbtnet.recipes.curves_recipe import CurvesDesign
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.system_report import devices, processor


def this_machine(unit: str) -> str:
    """Return the name of the processor, or of the GPUs if budgets are in their seconds.

    Args:
        unit: unit of the budgets, as in the design of the curves.
    """
    return devices() if unit == "gpu_seconds" else processor()


def check_machine(
    design: CurvesDesign, runs: Sequence[CurveRun], selected: Sequence[str], folder: CurvesFolder, finished: Path | None
) -> None:
    """Refuse to continue curves whose budgets are in seconds on a machine that does other numbers of steps in them.

    With a pace, every machine does the same steps and none is refused.

    Args:
        design: unit and pace of the budgets.
        runs: runs of the curves.
        selected: models whose runs are to be done.
        folder: folder of the curves, with the records of finished runs.
        finished: folder with tables of further finished runs; None if there is none.

    Raises:
        BadInput: If a run is left, and a finished one is of another machine; or if ``finished`` has no table.
    """
    tables = () if finished is None else read_records(CurvesFolder(finished).points, NOT_OF_CURVES)
    if design.unit == "steps" or design.pace is not None:
        return
    records = [record for run in runs if (record := read_record(folder, run)) is not None]
    machines = {record.run: record.machine for record in (*tables, *records)}
    here = this_machine(design.unit)
    others = [machine for machine in machines.values() if machine != here]
    if others and any(run.model in selected and run.name not in machines for run in runs):
        raise BadInput(
            f"{counted(len(others), 'run')} of these curves were trained on another machine ({others[0]}) than this "
            f"one ({here}). A budget in seconds is another number of steps here, so that the scores can't be compared. "
            "Continue on a machine like the first one, or begin the curves again in another folder."
        )


def on_machine_of_pace(points: pd.DataFrame, setup: CurvesSetup) -> pd.DataFrame:
    """Return the table of runs with times on the machine whose seconds are the budgets.

    A run with the steps of the pace gets the time that these take on the machine of the pace. Runs that this machine
    did without a pace, in seconds, keep their measured times.

    Args:
        points: table of the runs.
        setup: design of the curves.
    """
    pace = setup.design.pace
    if pace is None:
        return points
    per_second = points["model"].map(pace.task)
    planned = (points["budget"] * per_second).round().clip(lower=1)
    measured = (points["machine"] == pace.machine) & (points["steps"] != planned)
    earlier = points["model"].map(setup.earlier_seconds).fillna(0.0)
    return points.assign(
        cpu_seconds=points["cpu_seconds"].where(measured, points["steps"] / per_second),
        earlier_cpu_seconds=points["earlier_cpu_seconds"].where(measured, earlier),
    )
