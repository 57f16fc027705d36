"""Tuning: choose settings of a stage by successive halving over trainings that are scored on validation patients."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gynbtnet.evaluation.metrics.score_table import score_table
from gynbtnet.experiment.trial import Trial, run_trial
from gynbtnet.experiment.tuning.default_search import with_companions
from gynbtnet.experiment.tuning.search_space import SearchSpace, draw_candidates
from gynbtnet.experiment.tuning.successive_halving import Rung, plan_rungs, successive_halving
from gynbtnet.experiment.tuning.tuned_patients import TunedPatients
from gynbtnet.experiment.tuning.tuning_table import UNITS, TrialRecord, TuningResult, recipe_heading, save_tables
from gynbtnet.recipes.loading import save_recipe, with_settings
from gynbtnet.recipes.recipe import Recipe, TaskStage
from gynbtnet.runtime.errors import BadInput, Diverged
from gynbtnet.runtime.json_files import read_json, sha256_of, write_json
from gynbtnet.runtime.optional_dependencies import require
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.processes import launcher_world_size
from gynbtnet.runtime.progress import console
from gynbtnet.training.budget import Budget
from gynbtnet.training.cost.run_cost import training_cost
from gynbtnet.training.devices import check_budget
from gynbtnet.training.flat_settings import flatten_settings
from gynbtnet.training.run_folder import RunFolder

_RECORD = "tuning.json"
_SCORE = "score.json"
_REMEDY = "give another output folder"
_SET_BY_RUNGS = ("budget", "epochs", "steps_per_epoch", "seed", "patience", "time_budget_hours")
"""Settings that a search can't include, because they determine how much each trial trains."""


@dataclass(frozen=True)
class Tuning:
    """Everything that determines the result of a tuning, except for the patients.

    Attributes:
        recipe: recipe to tune. Its own settings are candidate 0.
        stage: ``task``, ``supervised`` or ``nnunet``.
        space: values of the settings that are searched.
        budget: budget of all trials together.
        candidates: number of candidates.
        seed: seed of the search. All trainings have the recipe's seed.
        start: run folder of an earlier stage from which all trials start; None: from scratch.
    """

    recipe: Recipe
    stage: str
    space: SearchSpace
    budget: Budget
    candidates: int = 9
    seed: int = 0
    start: Path | None = None


def tune(tuning: Tuning, patients: TunedPatients, out: Path, *, jobs: int = 1) -> TuningResult:
    """Choose settings on validation patients, and write the recipe with them.

    Each trial trains on the training patients, from the start with its whole schedule, and predicts whole scans of the
    validation patients. A tuning that was stopped resumes, and finished trials are kept.

    Args:
        tuning: recipe, search space and budget.
        patients: training and validation patients.
        out: folder to write: ``recipe.yaml`` is the recipe with the best settings, ``table.md`` has the candidates and
            ``trials.csv`` all trials. ``trials/rung_<n>/candidate_<n>`` has each trial with its model.
        jobs: number of processes for planning and preparation.

    Returns:
        All trials, in the order in which they were run.

    Raises:
        BadInput: If the search space, a candidate, the patients or the budget can't be used, or ``out`` has another
            tuning.
    """
    _check(tuning)
    tuning = replace(tuning, recipe=_with_warm_up_share(tuning.recipe, tuning.stage))
    candidates = _candidates(tuning)
    recipes = [
        with_settings(tuning.recipe, with_companions(tuning.recipe, values), "the search space")
        for values in candidates
    ]
    for recipe in recipes:
        _check_devices(recipe, tuning.stage)
    _record(tuning, candidates, patients, out)
    trials = _Trials(tuning, candidates, recipes, patients, out, jobs)
    unit, budget = budget_amount(tuning.budget)
    scored = successive_halving(len(candidates), budget, trials.run)
    result = TuningResult(
        recipe=tuning.recipe.name,
        stage=tuning.stage,
        unit=unit,
        budget=budget,
        seed=tuning.seed,
        training_patients=len(patients.training),
        validation_patients=len(patients.validation),
        trials=tuple(trials.record(trial.candidate, trial.rung) for trial in scored),
    )
    if result.winner.score is None:
        raise BadInput(
            f"No trial in {out} could be scored, so no settings can be chosen; give a larger budget or another search "
            "space, and another output folder."
        )
    save_tables(result, out)
    save_recipe(recipes[result.winner.candidate], out / "recipe.yaml", recipe_heading(result))
    return result


def budget_amount(budget: Budget) -> tuple[str, float]:
    """Return the unit of a budget, as its field is named, and the amount."""
    return next((unit, float(amount)) for unit, amount in budget.model_dump().items() if amount is not None)


@dataclass(frozen=True)
class _Trials:
    """Trials of a tuning on disk.

    Attributes:
        tuning: recipe, search space and budget.
        candidates: values of each candidate by dotted key.
        recipes: recipe of each candidate.
        patients: training and validation patients.
        out: folder of the tuning.
        jobs: number of processes for planning and preparation.
    """

    tuning: Tuning
    candidates: Sequence[Mapping[str, Any]]
    recipes: Sequence[Recipe]
    patients: TunedPatients
    out: Path
    jobs: int

    def run(self, candidate: int, rung: Rung) -> float:
        """Run the trial of a candidate in a rung unless it is on disk, and return its score."""
        folder = self._folder(candidate, rung)
        if not (folder / _SCORE).is_file():
            unit = UNITS[budget_amount(self.tuning.budget)[0]]
            console.rule(f"Rung {rung.number + 1}, candidate {candidate}: {rung.budget:.4g} {unit}")
            write_json(self._train_and_score(candidate, rung, folder), folder / _SCORE)
        return self.record(candidate, rung).as_scored().score

    def record(self, candidate: int, rung: Rung) -> TrialRecord:
        """Return the result of a trial that has been run."""
        return read_json(TrialRecord, self._folder(candidate, rung) / _SCORE, "delete it to score the trial again")

    def _folder(self, candidate: int, rung: Rung) -> Path:
        return self.out / "trials" / f"rung_{rung.number + 1}" / f"candidate_{candidate}"

    def _train_and_score(self, candidate: int, rung: Rung, folder: Path) -> TrialRecord:
        tuning, settings = self.tuning, self.candidates[candidate]
        unit, _ = budget_amount(tuning.budget)
        amount = int(rung.budget) if unit == "steps" else rung.budget
        recipe = trial_recipe(self.recipes[candidate], tuning.stage, Budget.model_validate({unit: amount}))
        seed = tuning.seed if recipe.nnunet else recipe.stage("task").training.seed
        patients = self.patients
        trial = Trial(tuning.stage, recipe, seed, patients.training, patients.validation, tuning.start)
        try:
            result = run_trial(trial, patients.cohort, folder, prepared=self.out / "prepared", jobs=self.jobs)
        except Diverged:
            return TrialRecord(rung, candidate, settings, None, note="Its loss did not remain finite.")
        cost = training_cost(result.run)
        table = score_table(result.evaluation.scores)
        means = table.groupby("structure", sort=False)["dsc"].mean()
        return TrialRecord(
            rung=rung,
            candidate=candidate,
            settings=settings,
            score=None if math.isnan(result.mean_dsc) else result.mean_dsc,
            dsc={str(structure): float(dsc) for structure, dsc in means.items() if not math.isnan(dsc)},
            steps=cost.steps,
            cpu_seconds=cost.cpu_seconds,
        )


def trial_recipe(recipe: Recipe, stage: str, budget: Budget) -> Recipe:
    """Return a recipe whose task, or nnU-Net, is the tuned stage with another budget; it has no other stage.

    Args:
        recipe: recipe of a candidate.
        stage: ``task``, ``supervised`` or ``nnunet``.
        budget: budget of the trial.
    """
    settings = recipe.stage(stage)
    if stage == "nnunet":
        return recipe.model_copy(update={"nnunet": settings.model_copy(update={"budget": budget})})
    task = TaskStage(plan=settings.plan, training=settings.training.model_copy(update={"budget": budget}))
    return recipe.model_copy(update={"pretraining": None, "supervised": None, "task": task})


def _check(tuning: Tuning) -> None:
    """Check stage, search space, budget and libraries before anything is trained."""
    settings = tuning.recipe.stage(tuning.stage)
    groups = ("nnunet.",) if tuning.stage == "nnunet" else (f"{tuning.stage}.training.", f"{tuning.stage}.plan.")
    for key in tuning.space:
        if not key.startswith(groups) or set(key.split(".")).intersection(_SET_BY_RUNGS):
            raise BadInput(
                f"search.{key} can't be searched: expected a setting in {' or '.join(groups)}, except for "
                f"{', '.join(_SET_BY_RUNGS)}, which would change how long a trial trains."
            )
    accelerator = (settings if tuning.stage == "nnunet" else settings.training).accelerator
    check_budget(tuning.budget, accelerator, "--unit gpu-seconds needs a GPU; give --unit cpu-seconds or steps.")
    unit, amount = budget_amount(tuning.budget)
    first = plan_rungs(tuning.candidates, amount)[0]
    if unit == "steps" and first.budget < 1:
        raise BadInput(
            f"{amount:g} steps are too few for {counted(tuning.candidates, 'candidate')}, of which each gets "
            f"{first.budget:.2g} in the first rung; give a larger --budget or fewer --candidates."
        )
    if tuning.stage == "nnunet":
        require("nnunet", "nnunetv2")
        if tuning.start:
            raise BadInput("nnU-Net is trained from scratch; omit --start.")
    elif settings.plan.network == "swin_unetr":
        require("baselines", "monai", "einops")
    _check_devices(tuning.recipe, tuning.stage)
    if tuning.start and not RunFolder(tuning.start).last_weights.is_file():
        raise BadInput(
            f"There is no {RunFolder(tuning.start).last_weights}; expected --start to be the folder of a training run "
            "that has ended."
        )


def _check_devices(recipe: Recipe, stage: str) -> None:
    devices = 1 if stage == "nnunet" else recipe.stage(stage).training.devices
    if devices > 1 or launcher_world_size() not in (None, (1, 1)):
        raise BadInput("A tuning trains on one device; set devices to 1, and start it without torchrun or srun.")


def _with_warm_up_share(recipe: Recipe, stage: str) -> Recipe:
    """Return the recipe with a warm-up in epochs as the same share of the run, so that it fits any budget."""
    training = None if stage == "nnunet" else recipe.stage(stage).training
    if training is None or not training.warm_up_epochs:
        return recipe
    group = f"{stage}.training"
    share = training.warm_up_epochs / training.epochs
    return with_settings(recipe, {f"{group}.warm_up_epochs": 0, f"{group}.warm_up_share": share}, recipe.name)


def _candidates(tuning: Tuning) -> tuple[Mapping[str, Any], ...]:
    """Return the values of all candidates, with the settings that they need to be valid."""
    flat = flatten_settings(tuning.recipe.model_dump(mode="json"))
    unknown = next((key for key in tuning.space if key not in flat), None)
    if unknown is not None:
        with_settings(tuning.recipe, {unknown: None}, "the search space")  # raises BadInput with the known names
    own = {key: flat[key] for key in tuning.space}
    return draw_candidates(tuning.space, tuning.candidates, own, tuning.seed)


def _record(tuning: Tuning, candidates: Sequence[Mapping[str, Any]], patients: TunedPatients, out: Path) -> None:
    """Write what the tuning is made of, or check that ``out`` has the same tuning."""
    record = {
        "recipe": tuning.recipe.model_dump(mode="json", exclude={"name", "description", "citations", "aliases"}),
        "stage": tuning.stage,
        "budget": tuning.budget.model_dump(mode="json"),
        "candidates": tuning.candidates,
        "seed": tuning.seed,
        "search": {key: asdict(values) for key, values in tuning.space.items()},
        "values": {str(number): values for number, values in enumerate(candidates)},
        "training": patients.training,
        "validation": patients.validation,
        "start": None if tuning.start is None else sha256_of(RunFolder(tuning.start).last_weights),
    }
    path = out / _RECORD
    if not path.is_file():
        write_json(record, path)
        return
    recorded, requested = flatten_settings(read_json(dict[str, Any], path, _REMEDY)), flatten_settings(record)
    for name in sorted(recorded.keys() | requested.keys()):
        if recorded.get(name) != requested.get(name):
            raise BadInput(
                f"The tuning in {out} was begun with {name} = {recorded.get(name)}, but now {name} = "
                f"{requested.get(name)} is asked for; resume it as it was begun, or {_REMEDY}."
            )
