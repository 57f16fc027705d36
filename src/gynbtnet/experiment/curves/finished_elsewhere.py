"""Runs of the same learning curves that another machine has finished, taken from its tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from gynbtnet.experiment.curves.folders import CurvesFolder
from gynbtnet.experiment.curves.run_list import CurveRun
from gynbtnet.experiment.curves.run_record import RunRecord, write_record
from gynbtnet.experiment.curves.setup import has_settings
from gynbtnet.recipes.curves_recipe import CurvesRecipe
from gynbtnet.runtime.errors import BadInput


def take_finished_runs(
    tables: Path, recipe: CurvesRecipe, scored: Mapping[CurveRun, Sequence[str]], folder: CurvesFolder
) -> None:
    """Record every run of another machine's tables as finished, unless ``folder`` has it already.

    Args:
        tables: folder with ``points.csv``, ``scores.csv`` and ``recipes``.
        recipe: models and design.
        scored: patients that each run is scored on.
        folder: folder of the curves.

    Raises:
        BadInput: If a table is absent or damaged, or a run is not one of these curves. Such a run has another name,
            other settings, or scores of other patients. Then nothing is recorded.
    """
    source = CurvesFolder(tables)
    records = _read_records(source.points)
    scores = _read(source.scores)
    runs = {run.name: run for run in scored}
    for record in records:
        problem = _problem(record, runs.get(record.run), recipe, scored, scores, source)
        if problem:
            raise BadInput(
                f"The run {record.run} in {source.points} {problem}; expected a run of these curves. Name tables of "
                "the same curves, or delete the row."
            )
    for record in records:
        run = runs[record.run]
        if not folder.record(run).is_file():
            write_record(folder, run, record, scores[scores["run"] == record.run].drop(columns="run"))


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"version": str})
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} is absent or damaged; expected a table that `gynbtnet benchmark` wrote for learning curves."
        ) from error


def _read_records(path: Path) -> tuple[RunRecord, ...]:
    rows = _read(path).astype(object)
    try:
        return TypeAdapter(tuple[RunRecord, ...]).validate_python(rows.where(rows.notna(), None).to_dict("records"))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(
            f"{path} is damaged: row {first['loc'][0]}, column {first['loc'][-1]}: {first['msg']}. Expected a table "
            "that `gynbtnet benchmark` wrote for learning curves."
        ) from error


def _problem(
    record: RunRecord,
    run: CurveRun | None,
    recipe: CurvesRecipe,
    scored: Mapping[CurveRun, Sequence[str]],
    scores: pd.DataFrame,
    source: CurvesFolder,
) -> str | None:
    """Return what doesn't fit; None if the run is one of these curves."""
    if run is None or record.candidate not in recipe.models[run.model].candidates:
        return "is not one of this design"
    stored = source.recipe(run.model, record.candidate)
    if not has_settings(stored, recipe.models[run.model].candidates[record.candidate]):
        return f"was trained with other settings, which are in {stored}"
    patients = set(scores.loc[scores["run"] == record.run, "patient"])
    if patients != set(scored[run]):
        return f"has scores of other patients in {source.scores}"
    return None
