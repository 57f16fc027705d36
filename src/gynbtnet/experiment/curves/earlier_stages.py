"""Stages 1 and 2 of learning curves: trained once per seed, and shared by the models that need the same."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import hold_out_patients
from gynbtnet.experiment.scans import Ingested
from gynbtnet.preparation.prepare_once import prepare_once
from gynbtnet.recipes.pace import EarlierStage, Pace, paced
from gynbtnet.recipes.recipe import AnyPretraining, Recipe, SupervisedStage
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.lock_file import file_lock
from gynbtnet.runtime.progress import console
from gynbtnet.training.run_folder import FREE_TO_CHANGE, RunFolder
from gynbtnet.training.stages import finetune, pretrain


class Busy(Exception):  # noqa: N818 - not an error
    """Raised if another process is training the stage that is needed."""


@dataclass(frozen=True)
class StageRun:
    """One training of stage 1 or 2.

    Attributes:
        stage: the stage.
        settings: its settings, with the seed of the run.
        held_out: seed that selects the validation patients, the same for all seeds of the run.
        start: run from which it starts; None: from scratch.
    """

    stage: EarlierStage
    settings: AnyPretraining | SupervisedStage
    held_out: int
    start: "StageRun | None"

    @property
    def name(self) -> str:
        """Name of the run folder: stage, seed, and a digest of all that decides the weights."""
        values = self.settings.model_dump(mode="json")
        free = {name.removeprefix("settings.") for name in FREE_TO_CHANGE}
        training = {name: value for name, value in values["training"].items() if name not in free}
        key = values | {"training": training, "held_out": self.held_out, "start": self.start and self.start.name}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.stage}_seed-{self.settings.training.seed}_{digest}"


def earlier_stages(
    recipe: Recipe, stages: Sequence[EarlierStage], seed: int, pace: Pace | None = None
) -> tuple[StageRun, ...]:
    """Return the runs before the task, each starting from the one before it.

    Args:
        recipe: recipe of the model.
        stages: its earlier stages, in their order.
        seed: seed of the runs.
        pace: steps in a CPU second; None: budgets stay in seconds.
    """
    runs: list[StageRun] = []
    for stage in stages:
        settings = getattr(recipe, stage)
        held_out = settings.training.seed
        changes: dict[str, Any] = {"seed": seed}
        if pace and settings.training.budget:
            changes["budget"] = paced(settings.training.budget, pace.stages[stage])
        seeded = settings.model_copy(update={"training": settings.training.model_copy(update=changes)})
        runs.append(StageRun(stage, seeded, held_out, runs[-1] if runs else None))
    return tuple(runs)


def planned_steps(recipe: Recipe, stages: Sequence[EarlierStage], pace: Pace) -> dict[EarlierStage, int]:
    """Return the optimiser steps of each stage before the task.

    Args:
        recipe: recipe of the model, whose stages have budgets in CPU seconds or steps.
        stages: its earlier stages, in their order.
        pace: steps in a CPU second.
    """
    budgets = {run.stage: run.settings.training.budget for run in earlier_stages(recipe, stages, 0, pace)}
    return {stage: budget.steps for stage, budget in budgets.items() if budget is not None and budget.steps is not None}


def train_earlier_stages(
    runs: Sequence[StageRun], ingested: Ingested, folder: Path, prepared: Path, hours: float | None, jobs: int
) -> Path | None:
    """Train the stages before the task, or find them trained.

    Args:
        runs: the runs, each starting from the one before it.
        ingested: the scans.
        folder: folder of the stages.
        prepared: folder of prepared scans.
        hours: time after which a run pauses; None: no limit.
        jobs: number of processes for planning and preparation.

    Returns:
        Run folder of the last one; None if there are none.

    Raises:
        Busy: If another process is training one of them.
        Paused: If the time is over.
    """
    start = None
    for run in runs:
        path = folder / run.name
        if not RunFolder(path).last_weights.is_file():
            with file_lock(folder / f".{run.name}.lock", wait=False) as held:
                if not held:
                    raise Busy
                console.rule(run.name)
                _train(run, ingested, path, start, prepared, hours, jobs)
        start = path
    return start


def _train(
    run: StageRun, ingested: Ingested, out: Path, start: Path | None, prepared: Path, hours: float | None, jobs: int
) -> None:
    cohort: Cohort | None = ingested.unlabelled if run.stage == "pretraining" else ingested.organs
    if cohort is None:
        raise BadInput(
            f"A model has the stage {run.stage}, but there are no scans for it; give some, or omit the model."
        )
    scans = prepare_once(cohort, run.settings.plan, prepared, jobs)
    validation = hold_out_patients(cohort.patients, run.settings.validation, run.held_out)
    training_ids = scans.ids_of(set(cohort.patients).difference(validation))
    validation_ids = scans.ids_of(validation)
    settings = run.settings.training.model_copy(update={"time_budget_hours": hours})
    if isinstance(run.settings, SupervisedStage):
        finetune(
            scans,
            settings,  # type: ignore[arg-type]
            out,
            training_ids=training_ids,
            validation_ids=validation_ids,
            start=start,
        )
    else:
        pretrain(scans, settings, out, training_ids=training_ids, validation_ids=validation_ids)  # type: ignore[arg-type]
