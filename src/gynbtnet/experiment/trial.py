"""Trials: one training of a model's task stage, scored on patients that it was not trained on."""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from gynbtnet.baselines.nnunet_model import NnUNetModel
from gynbtnet.baselines.nnunet_training import train_nnunet
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.metrics.evaluation import Evaluation, evaluate
from gynbtnet.experiment.image_prediction import predict_images
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.models.model import Model
from gynbtnet.preparation.prepare_once import prepare_once
from gynbtnet.recipes.recipe import Recipe, TaskStage
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, sha256_of, write_json
from gynbtnet.runtime.phrases import counted
from gynbtnet.training.cost.run_cost import TrainingCost, training_cost
from gynbtnet.training.flat_settings import flatten_settings
from gynbtnet.training.run_folder import FREE_TO_CHANGE, RunFolder
from gynbtnet.training.stages import finetune

_REMEDY = "give another output folder"


@dataclass(frozen=True)
class Trial:
    """One training of the task stage, and the patients whose scores judge it.

    Attributes:
        model: name of the model.
        recipe: recipe of the model, with ``task`` or ``nnunet``; its split and its earlier stages are not used.
        seed: seed of the training; it replaces that of the recipe.
        training_patients: patients to train on. No other patient has an influence on the model.
        scored_patients: patients to predict and score.
        start: run folder of an earlier stage from which the task starts; None: from scratch.
    """

    model: str
    recipe: Recipe
    seed: int
    training_patients: tuple[str, ...]
    scored_patients: tuple[str, ...]
    start: Path | None = None


@dataclass(frozen=True)
class TrialResult:
    """Result of a trial.

    Attributes:
        evaluation: scores of the scored patients.
        run: run folder of the training, which is a model.
    """

    evaluation: Evaluation
    run: Path

    @property
    def cost(self) -> TrainingCost:
        """Steps and time of the training, without earlier stages."""
        return training_cost(self.run)

    @property
    def mean_dsc(self) -> float:
        """Mean DSC over patients, of the mean over structures, of the mean over a patient's cases.

        NaN if a structure is scored in no case.
        """
        values: dict[str, dict[str, list[float]]] = {}
        for score in self.evaluation.scores:
            if score.is_scored:
                values.setdefault(score.patient, {}).setdefault(score.structure, []).append(score.dsc)
        structures = {score.structure for score in self.evaluation.scores}
        if structures.difference(name for patient in values.values() for name in patient):
            return float("nan")
        return float(np.mean([np.mean([np.mean(dsc) for dsc in own.values()]) for own in values.values()]))


def run_trial(trial: Trial, cohort: Cohort, out: Path, *, prepared: Path | None = None, jobs: int = 1) -> TrialResult:
    """Train the task stage of a recipe on the training patients, and score it on the scored patients.

    Nothing selects weights: the training has no validation patients, and its length is set by the recipe. A trial that
    was stopped resumes, and a finished one is read.

    Args:
        trial: model, seed and patients.
        cohort: ingested cohort with all these patients, contoured.
        out: folder of the trial: ``run`` is the training, ``predictions`` and ``evaluation`` are those of the scored
            patients. The checkpoints are deleted at the end.
        prepared: folder of prepared scans, which trials on the same patients share; None: a folder in ``out``. Several
            processes may use it at the same time.
        jobs: number of processes for planning and preparation.

    Returns:
        The scores and the run folder.

    Raises:
        BadInput: If the recipe has neither task nor nnU-Net, patients are unknown or in both groups, ``out`` has
            another trial, or training can't use its input.
    """
    _check_patients(trial, cohort)
    _record(trial, out)
    evaluation, run = out / "evaluation", out / "run"
    if trial.recipe.nnunet:
        run /= "fold_all"
    if (evaluation / "scores.csv").is_file():
        return TrialResult(Evaluation.load(evaluation), run)
    training = cohort.of_patients(trial.training_patients)
    if trial.recipe.nnunet:
        model = _train_nnunet(trial, training, trial.recipe.nnunet, out / "run", jobs)
    else:
        model = _train_task(trial, training, trial.recipe.stage("task"), run, prepared or out / "prepared", jobs)
    scored = cohort.of_patients(trial.scored_patients)
    predict_images(model, scored, out / "predictions", trial.recipe.prediction)
    result = TrialResult(evaluate(scored, out / "predictions", evaluation), run)
    shutil.rmtree(RunFolder(run).state, ignore_errors=True)  # checkpoints are larger than the weights
    return result


def _check_patients(trial: Trial, cohort: Cohort) -> None:
    unknown = {*trial.training_patients, *trial.scored_patients}.difference(cohort.patients)
    in_both = set(trial.training_patients).intersection(trial.scored_patients)
    if unknown or in_both or not trial.training_patients or not trial.scored_patients:
        raise BadInput(
            f"The trial of {trial.model} trains on {counted(len(trial.training_patients), 'patient')} and scores "
            f"{len(trial.scored_patients)}; {len(in_both)} are in both groups, and {len(unknown)} are not in the "
            f"cohort {cohort.folder}. Name at least one patient for each, each patient once, and only patients of the "
            "cohort."
        )
    if not (trial.recipe.task or trial.recipe.nnunet):
        raise BadInput(f"The model {trial.model} has neither task nor nnunet; add one to its recipe.")


def _record(trial: Trial, out: Path) -> None:
    """Write what the trial is made of, or check that ``out`` holds the same trial."""
    path = out / "trial.json"
    start = None if trial.start is None else sha256_of(RunFolder(trial.start).last_weights)
    requested = asdict(trial) | {"recipe": _used_settings(trial.recipe), "start": start}
    if not path.is_file():
        write_json(requested, path)
        return
    recorded = read_json(dict[str, Any], path, _REMEDY)
    recorded |= {"recipe": _with_new_settings(recorded.get("recipe"), path)}
    before, now = flatten_settings(recorded), flatten_settings(requested)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise BadInput(
                f"The trial in {out} was made with {name} = {before.get(name)}, but now {name} = {now.get(name)} is "
                f"asked for; resume it as it was made, or {_REMEDY}."
            )


def _used_settings(recipe: Recipe) -> dict[str, Any]:
    """Return the settings that a trial depends on."""
    used = recipe.model_dump(mode="json", include={"structures", "task", "nnunet", "prediction"})
    free = {name.removeprefix("settings.") for name in FREE_TO_CHANGE}
    training = {name: value for name, value in ((used["task"] or {}).get("training") or {}).items() if name not in free}
    nnunet = {name: value for name, value in (used["nnunet"] or {}).items() if name not in free}
    return used | {"task": used["task"] and used["task"] | {"training": training}, "nnunet": used["nnunet"] and nnunet}


def _with_new_settings(recorded: Any, path: Path) -> dict[str, Any]:
    """Return the recorded settings, with the defaults of settings that are newer than the record."""
    try:
        return _used_settings(Recipe.model_validate({"name": "recorded", **recorded}))
    except (ValidationError, TypeError) as error:
        raise BadInput(f"{path} is damaged or was edited; {_REMEDY}.") from error


def _train_task(trial: Trial, training: Cohort, task: TaskStage, run: Path, prepared: Path, jobs: int) -> Segmenter:
    """Train our network or Swin-UNETR, and return the model."""
    if not RunFolder(run).last_weights.is_file():
        scans = prepare_once(training, task.plan, prepared, jobs)
        settings = task.training.model_copy(update={"seed": trial.seed})
        cases = scans.ids_of(set(scans.patients))
        finetune(scans, settings, run, training_ids=cases, validation_ids=(), start=trial.start)
    prediction = trial.recipe.prediction
    return Model.load(run, weights=prediction.weights, device=prediction.device)


def _train_nnunet(trial: Trial, training: Cohort, settings: NnUNetSettings, out: Path, jobs: int) -> Segmenter:
    """Train nnU-Net, and return the model."""
    if len(training.patients) < 2:
        raise BadInput("A trial of nnU-Net needs at least two training patients; name more.")
    first, *others = training.patients
    split = Split(test=(), folds=((first,), tuple(others)), seed=trial.seed)
    with _seeded(trial.seed):
        run = train_nnunet(training, split, "all", settings, out, jobs=jobs)
    for folder in ("preprocessed", "results", "raw"):  # large, and not needed after the end
        shutil.rmtree(out / folder, ignore_errors=True)
    return NnUNetModel.load(run, device=trial.recipe.prediction.device)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, which nnU-Net uses, inside the block, and restore their states afterwards."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - nnU-Net uses this generator
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
