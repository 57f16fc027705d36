"""Record of a finished run of learning curves, and the tables of all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from math import nan
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.score_table import score_table
from gynbtnet.experiment.curves.checked_tables import read_score_table, read_text_table
from gynbtnet.experiment.curves.folders import CurvesFolder
from gynbtnet.experiment.curves.run_list import CurveRun
from gynbtnet.experiment.trial import TrialResult
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json
from gynbtnet.training.cost.run_cost import TrainingCost

_SCORE_COLUMNS = ("case", "patient", "structure", "dsc", "hd95_mm", "asd_mm", "missing_in")
_REMEDY = "delete the folder of this run and call the same command again"
_DELETE_RUN = "Delete the folder of this run and call the same command again."

_Count = Annotated[int, Field(ge=0)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class RunRecord:
    """Row of ``points.csv``.

    Attributes:
        run: path of the run in the folder of the runs.
        kind: "search" or "point".
        model: name of the model.
        candidate: its settings: the tried or the chosen candidate.
        budget: budget of the task's training, in the unit of the design.
        patients: number of contoured patients.
        all_patients: whether these are all patients that can be learned from.
        seed: seed of the training and of the earlier stages.
        draw: number of the draw of patients; None if all are used.
        mean_dsc: mean DSC over patients, of the mean over structures; None without one, such as after a loss that did
            not remain finite.
        steps: optimiser steps of the task; 0 if the loss did not remain finite.
        cpu_seconds: CPU time of the task's training, in seconds.
        earlier_steps: optimiser steps of the earlier stages.
        earlier_cpu_seconds: CPU time of the earlier stages, in seconds.
        parameters: number of the network's parameters.
        version: version of gynbtnet that ended the run.
        machine: processor of the machine that ended the run, or its GPUs if budgets are in their seconds.
    """

    run: str
    kind: str
    model: str
    candidate: str
    budget: _Amount
    patients: _Count
    all_patients: bool
    seed: int
    draw: int | None
    mean_dsc: Annotated[float, Field(ge=0, le=1)] | None
    steps: _Count
    cpu_seconds: _Amount | None
    earlier_steps: _Count
    earlier_cpu_seconds: _Amount
    parameters: _Count | None
    version: str
    machine: str

    @property
    def diverged(self) -> bool:
        """True if the loss did not remain finite."""
        return self.mean_dsc is None and self.steps == 0


def record_run(
    run: CurveRun,
    candidate: str,
    patients: int,
    result: TrialResult,
    earlier: Iterable[TrainingCost],
    machine: str,
    folder: CurvesFolder,
) -> None:
    """Write the scores of a finished run, then its record.

    Args:
        run: the run.
        candidate: name of its settings.
        patients: number of contoured patients.
        result: its result.
        earlier: costs of the earlier stages.
        machine: machine that did it.
        folder: folder of the curves.
    """
    cost, costs = result.cost, tuple(earlier)
    mean = result.mean_dsc
    record = _record(run, candidate, patients, machine)
    record = replace(
        record,
        mean_dsc=mean if mean == mean else None,
        steps=cost.steps,
        cpu_seconds=cost.cpu_seconds,
        earlier_steps=sum(stage.steps for stage in costs),
        earlier_cpu_seconds=sum(stage.cpu_seconds or 0.0 for stage in costs),
        parameters=cost.parameters,
    )
    write_record(folder, run, record, score_table(result.evaluation.scores)[list(_SCORE_COLUMNS)])


def record_diverged(
    run: CurveRun, candidate: str, patients: int, scored: Cohort, machine: str, folder: CurvesFolder
) -> None:
    """Write the record of a candidate whose loss did not remain finite: it has no steps, time or score.

    Args:
        run: the run.
        candidate: name of its settings.
        patients: number of contoured patients.
        scored: scans of the patients on which it would have been scored.
        machine: machine that did it.
        folder: folder of the curves.
    """
    empty = {"dsc": nan, "hd95_mm": nan, "asd_mm": nan, "missing_in": "prediction"}
    scores = [
        {"case": case.id, "patient": case.patient, "structure": structure, **empty}
        for case in scored.cases
        for structure in scored.structures
    ]
    write_record(
        folder, run, _record(run, candidate, patients, machine), pd.DataFrame(scores, columns=list(_SCORE_COLUMNS))
    )


def _record(run: CurveRun, candidate: str, patients: int, machine: str) -> RunRecord:
    """Return the record of a run without results."""
    return RunRecord(
        run=run.name,
        kind=run.kind,
        model=run.model,
        candidate=candidate,
        budget=run.budget,
        patients=patients,
        all_patients=run.patients is None,
        seed=run.seed,
        draw=run.draw,
        mean_dsc=None,
        steps=0,
        cpu_seconds=None,
        earlier_steps=0,
        earlier_cpu_seconds=0.0,
        parameters=None,
        version=version("gynbtnet"),
        machine=machine,
    )


def write_record(folder: CurvesFolder, run: CurveRun, record: RunRecord, scores: pd.DataFrame) -> None:
    """Write scores and record of a finished run; the record comes last, since a run that has one is finished."""
    folder.run(run).mkdir(parents=True, exist_ok=True)
    with atomic_write(folder.run_scores(run)) as partial:
        scores.to_csv(partial, index=False)
    write_json(record, folder.record(run))


def read_record(folder: CurvesFolder, run: CurveRun) -> RunRecord | None:
    """Return the record of a run; None if it has not finished."""
    path = folder.record(run)
    return read_json(RunRecord, path, _REMEDY) if path.is_file() else None


def read_records(path: Path, remedy: str) -> tuple[RunRecord, ...]:
    """Return the rows of ``points.csv``.

    Args:
        path: the file.
        remedy: advice for an absent or damaged file, as a sentence.

    Raises:
        BadInput: If the file is absent or damaged, or has a run twice.
    """
    rows = [
        {name: cell or None for name, cell in row.items()} for row in read_text_table(path, remedy).to_dict("records")
    ]
    try:
        records = TypeAdapter(tuple[RunRecord, ...]).validate_python(rows)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(
            f"{path} is damaged: row {first['loc'][0]}, column {first['loc'][-1]}: {first['msg']}. {remedy}"
        ) from error
    names = [record.run for record in records]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"{path} is damaged: it has the run {twice} twice. {remedy}")
    return records


def points_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Return rows of ``points.csv`` as a table."""
    table = pd.DataFrame([asdict(record) for record in records])
    numbers = {"mean_dsc": float, "cpu_seconds": float}
    return table.astype({"draw": "Int64", "parameters": "Int64", **numbers})


def write_tables(folder: CurvesFolder, runs: Sequence[CurveRun]) -> None:
    """Write ``points.csv`` and ``scores.csv`` of the runs that have finished.

    Args:
        folder: folder of the curves.
        runs: all runs, in their order.
    """
    records, scores = [], []
    for run in runs:
        record = read_record(folder, run)
        if record is not None:
            records.append(record)
            scores.append(read_score_table(folder.run_scores(run), _DELETE_RUN, of_one_run=True).assign(run=record.run))
    if not records:
        return
    for table, path in ((points_table(records), folder.points), (pd.concat(scores), folder.scores)):
        with atomic_write(path) as partial:
            table[["run", *(column for column in table.columns if column != "run")]].to_csv(partial, index=False)
