"""Runs of the same learning curves that another machine has finished, taken from its tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from gynbtnet.experiment.curves.checked_tables import read_score_table
from gynbtnet.experiment.curves.earlier_stages import planned_steps
from gynbtnet.experiment.curves.folders import CurvesFolder
from gynbtnet.experiment.curves.run_list import CurveRun
from gynbtnet.experiment.curves.run_record import RunRecord, read_records, write_record
from gynbtnet.experiment.curves.setup import has_settings
from gynbtnet.recipes.curves_recipe import CurvesRecipe
from gynbtnet.recipes.pace import Pace
from gynbtnet.runtime.errors import BadInput

NOT_OF_CURVES = "Expected a table that `gynbtnet benchmark` wrote for learning curves."
"""Advice for a table of finished runs that is absent or damaged."""

_VARIATION = 0.2
"""Share by which the steps in a budget of seconds may differ from the pace of the same machine."""


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
            other settings, scores of other patients, or with a pace other numbers of steps. Then nothing is recorded.
    """
    source = CurvesFolder(tables)
    records, scores = read_records(source.points, NOT_OF_CURVES), read_score_table(source.scores, NOT_OF_CURVES)
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
    described = (record.kind, record.model, record.budget, record.seed, record.draw, record.all_patients)
    if described != (run.kind, run.model, run.budget, run.seed, run.draw, run.patients is None):
        return "has other values in its row than in its name"
    if run.patients not in (None, record.patients) or run.candidate not in (None, record.candidate):
        return "has other values in its row than in its name"
    stored = source.recipe(run.model, record.candidate)
    if not has_settings(stored, recipe.models[run.model].candidates[record.candidate]):
        return f"was trained with other settings, which are in {stored}"
    pace = None if record.diverged else recipe.design.pace
    if pace is not None and (problem := _other_steps(record, run, recipe, pace)):
        return problem
    own = scores[scores["run"] == record.run]
    if set(own["patient"]) != set(scored[run]):
        return f"has scores of other patients in {source.scores}"
    structures = set(own["structure"])
    if not structures <= set(recipe.recipe.structures):
        return f"has scores of other structures in {source.scores}"
    if len(own) != own["case"].nunique() * len(structures):
        return f"lacks a structure of a case in {source.scores}"
    return None


def _other_steps(record: RunRecord, run: CurveRun, recipe: CurvesRecipe, pace: Pace) -> str | None:
    """Return what is wrong with the steps of a run; None if they are those of the pace.

    On the machine of the pace a run may have had its budget in seconds, whose steps vary.
    """
    variant = recipe.models[run.model].candidates[record.candidate]
    expected = recipe.design.budget(run.budget, run.model).steps or 0
    before = sum(planned_steps(variant, recipe.models[run.model].stages, pace).values())
    allowed = _VARIATION if record.machine == pace.machine else 0.0
    stopped_early = bool(variant.task and variant.task.training.patience) and record.steps < expected
    if abs(record.steps - expected) > allowed * expected and not stopped_early:
        return f"did {record.steps} steps instead of {expected}, which are its budget at the pace of {pace.machine}"
    if abs(record.earlier_steps - before) > allowed * before:
        return f"did {record.earlier_steps} steps before the task instead of {before}, at the pace of {pace.machine}"
    return None
