"""Learning curves from beginning to end: scans, choice of settings, all runs, tables, figures, page."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gynbtnet.datasets.split import Split
from gynbtnet.experiment.curves.curves_page import report_curves
from gynbtnet.experiment.curves.earlier_stages import Busy, earlier_stages, train_earlier_stages
from gynbtnet.experiment.curves.finished_elsewhere import take_finished_runs
from gynbtnet.experiment.curves.folders import CurvesFolder
from gynbtnet.experiment.curves.machines import check_machine, this_machine
from gynbtnet.experiment.curves.run_list import CurveRun, all_runs
from gynbtnet.experiment.curves.run_record import read_record, record_diverged, record_run, write_tables
from gynbtnet.experiment.curves.setup import write_setup
from gynbtnet.experiment.folders import Experiment
from gynbtnet.experiment.paper_experiment import write_phantom
from gynbtnet.experiment.scans import Ingested, Scans, ingest_scans
from gynbtnet.experiment.trial import Trial, run_trial
from gynbtnet.recipes.curves_recipe import CurvesRecipe
from gynbtnet.recipes.recipe import Recipe, SplitSettings
from gynbtnet.runtime.errors import BadInput, Diverged, Paused
from gynbtnet.runtime.lock_file import file_lock
from gynbtnet.runtime.optional_dependencies import require
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import console
from gynbtnet.training.cost.run_clock import hours_until
from gynbtnet.training.cost.run_cost import training_cost
from gynbtnet.training.devices import check_budget

_POLL_SECONDS = 5.0  # interval between two looks at the runs of other processes


@dataclass(frozen=True)
class _Context:
    recipe: CurvesRecipe
    ingested: Ingested
    folders: CurvesFolder
    deadline: float | None
    jobs: int

    @property
    def is_over(self) -> bool:
        """True if the command should have ended."""
        return self.deadline is not None and time.time() >= self.deadline

    @property
    def hours(self) -> float | None:
        """Time budget of a training that ends with the command; None without a limit."""
        return None if self.deadline is None else hours_until(self.deadline)


def trace_curves(
    recipe: CurvesRecipe,
    scans: Scans | None,
    folder: Path,
    *,
    models: Sequence[str] | None = None,
    finished: Path | None = None,
    stop_after_minutes: float | None = None,
    jobs: int = 1,
) -> Path:
    """Train every run of the curves, and write tables, figures and page.

    Runs of an earlier call are kept, and interrupted ones resume. Several processes may work on one folder at the same
    time, each on other runs. Settings are chosen on the patients of ``split.fold``, and no run learns from these or
    from the patients held out.

    Args:
        recipe: models, design and phantom.
        scans: scans for training and test; None: the recipe's phantom, which is written to ``folder`` first.
        folder: folder of the curves, see :class:`CurvesFolder`.
        models: names of the models whose runs are done now; None: all.
        finished: folder with ``points.csv``, ``scores.csv`` and ``recipes`` of the same curves, begun elsewhere: their
            runs count as finished.
        stop_after_minutes: time after which the command ends. The training that is under way then pauses. None: no
            limit.
        jobs: number of processes for ingestion and preparation.

    Returns:
        The path of the results page, ``results.md``.

    Raises:
        BadInput: If recipe and scans don't fit together, or a step can't use its input. Also if ``folder`` or
            ``finished`` has other curves or, with budgets in seconds and without a pace, runs of another machine.
        Diverged: If the loss of a run did not remain finite, after all other runs. A candidate with such a loss counts
            as the worst one of its model.
        Paused: If the time is over before all runs are finished. Tables, figures and page show those that are.
    """
    deadline = None if stop_after_minutes is None else time.time() + 60 * stop_after_minutes
    selected = _selected(recipe, models)
    _check_libraries(recipe, selected)
    folders = CurvesFolder(Path(folder).absolute())
    check_machine(recipe.design, all_runs(recipe), selected, folders, finished)
    with file_lock(folders.scans_lock):
        ingested = _ingest(recipe, scans, folders, jobs)
        setup = write_setup(recipe, ingested, folders)
    for run in setup.runs:
        choose_patients(ingested.split, recipe.recipe.split, run)
    context = _Context(recipe, ingested, folders, deadline, jobs)
    if finished is not None:
        scored = {run: _scored_patients(context, run) for run in setup.runs}
        take_finished_runs(Path(finished), recipe, scored, folders)
    try:
        _run_all(context, [run for run in setup.runs if run.model in selected])
    finally:
        with file_lock(folders.tables_lock):
            write_tables(folders, setup.runs)
            if folders.points.is_file():
                report_curves(folders.folder)
    return folders.results


def _selected(recipe: CurvesRecipe, models: Sequence[str] | None) -> tuple[str, ...]:
    unknown = set(models or ()).difference(recipe.models)
    if unknown:
        raise BadInput(f"There is no model {min(unknown)} in the curves; expected some of {', '.join(recipe.models)}.")
    return tuple(recipe.models) if models is None else tuple(models)


def _check_libraries(recipe: CurvesRecipe, models: Sequence[str]) -> None:
    variants = [variant for name in models for variant in recipe.models[name].candidates.values()]
    for variant in variants:
        if not (variant.task or variant.nnunet):
            raise BadInput(f"The model {variant.name} has neither task nor nnunet and would predict nothing; add one.")
        if variant.nnunet:
            require("nnunet", "nnunetv2")
        if variant.task and variant.task.plan.network == "swin_unetr":
            require("baselines", "monai", "einops")


def _ingest(recipe: CurvesRecipe, scans: Scans | None, folders: CurvesFolder, jobs: int) -> Ingested:
    if scans is None:
        if recipe.phantom is None:
            raise BadInput(
                f"The curves {recipe.recipe.name} have no phantom; name the scans to learn from with --cohort."
            )
        scans = write_phantom(recipe.phantom, recipe.recipe, folders.folder / "phantom")
    return ingest_scans(recipe.recipe, scans, Experiment(folders.folder), jobs)


def _run_all(context: _Context, runs: Sequence[CurveRun]) -> None:
    remaining = [run for run in runs if not context.folders.record(run).is_file()]
    check_budgets(context.recipe, {run.model for run in remaining})
    diverged: list[Diverged] = []
    while remaining:
        finished: list[CurveRun] = []
        for run in remaining:
            if context.is_over:
                raise _paused(len(remaining) - len(finished) + len(diverged))
            try:
                finished += [run] if _attempt(context, run) else []
            except Paused as pause:
                raise _paused(len(remaining) - len(finished) + len(diverged)) from pause
            except Diverged as problem:
                console.print(str(problem))
                diverged.append(problem)
                finished.append(run)
        remaining = [run for run in remaining if run not in finished]
        if remaining and not finished:  # other processes have the rest
            time.sleep(_POLL_SECONDS)
    if diverged:
        raise Diverged(
            f"The loss of {counted(len(diverged), 'run')} of the curves did not remain finite; the others are done. "
            f"The first: {diverged[0]}"
        )


def check_budgets(recipe: CurvesRecipe, models: Iterable[str]) -> None:
    """Refuse a unit that the machine can't measure before anything is prepared.

    Args:
        recipe: models and design.
        models: names of the models that would be trained.

    Raises:
        BadInput: If budgets are in seconds of a GPU and there is none, or of a CPU at a pace and a GPU would be used.
    """
    for name in models:
        budget = recipe.design.budget(recipe.design.budgets[0], name)
        for variant in recipe.models[name].candidates.values():
            accelerator = (variant.nnunet or variant.stage("task").training).accelerator
            check_budget(budget, accelerator, "curves.unit gpu_seconds needs a GPU; set it to cpu_seconds or steps.")
            if recipe.design.pace is not None and accelerator != "cpu" and torch.cuda.is_available():
                raise BadInput(
                    f"{name} would train on a GPU, but curves.pace makes budgets of its seconds on a CPU. Set the "
                    "accelerator to cpu, or curves.pace to null and curves.unit to gpu_seconds."
                )


def _paused(n_runs: int) -> Paused:
    return Paused(f"The time is over, and {counted(n_runs, 'run')} of the curves are left; the same command continues.")


def _attempt(context: _Context, run: CurveRun) -> bool:
    """Do a run unless another process is doing it or a run that it needs; return whether it is finished."""
    folders = context.folders
    if folders.record(run).is_file():
        return True
    chosen = _candidate(context, run)
    if chosen is None:
        return False
    with file_lock(folders.run(run).parent / f".{folders.run(run).name}.lock", wait=False) as held:
        if not held:
            return False
        if folders.record(run).is_file():
            return True
        model = context.recipe.models[run.model]
        variant = model.candidates[chosen]
        stages = earlier_stages(variant, model.stages, run.seed, context.recipe.design.pace)
        training = choose_patients(context.ingested.split, context.recipe.recipe.split, run)
        scored = _scored_patients(context, run)
        machine = this_machine(context.recipe.design.unit)
        try:
            start = train_earlier_stages(
                stages, context.ingested, folders.stages, folders.prepared, context.hours, context.jobs
            )
            console.rule(run.name)
            trial = Trial(
                model=run.model,
                recipe=_with_budget(context, variant, run),
                seed=run.seed,
                training_patients=training,
                scored_patients=scored,
                start=start,
            )
            result = run_trial(
                trial, context.ingested.cohort, folders.run(run), prepared=folders.prepared, jobs=context.jobs
            )
        except Busy:
            return False
        except Diverged as problem:
            if run.kind == "point":
                raise
            console.print(f"{run.name} is the worst candidate. {problem}")
            cohort = context.ingested.cohort.of_patients(scored)
            record_diverged(run, chosen, len(training), cohort, machine, folders)
            return True
        costs = [training_cost(folders.stages / stage.name) for stage in stages]
        record_run(run, chosen, len(training), result, costs, machine, folders)
    return True


def _candidate(context: _Context, run: CurveRun) -> str | None:
    """Return the settings of a run: the tried candidate, or the best one; None if that isn't known yet."""
    if run.candidate is not None:
        return run.candidate
    if len(context.recipe.models[run.model].candidates) == 1:
        return next(iter(context.recipe.models[run.model].candidates))
    budget = context.recipe.design.budgets[0]
    scores: dict[str, float] = {}
    for candidate in context.recipe.models[run.model].candidates:
        record = read_record(context.folders, CurveRun("search", run.model, budget, candidate=candidate))
        if record is None:
            return None
        scores[candidate] = -1.0 if record.mean_dsc is None else record.mean_dsc
    return best_candidate(scores)


def best_candidate(mean_dsc: Mapping[str, float]) -> str:
    """Return the candidate with the highest mean DSC on the validation patients; of equal ones, the first."""
    return max(mean_dsc, key=lambda name: mean_dsc[name])


def choose_patients(split: Split, settings: SplitSettings, run: CurveRun) -> tuple[str, ...]:
    """Return the contoured patients of a run.

    Fewer patients are the first ones of a random order, which depends on the draw alone. All models get the same
    patients, and a larger number contains the smaller one.

    Args:
        split: split of the patients.
        settings: its seed, and the fold whose patients choose settings.
        run: the run.

    Raises:
        BadInput: If the run needs more patients than there are.
    """
    patients = split.training_patients(settings.fold)
    if run.patients is None:
        return patients
    if run.patients > len(patients):
        raise BadInput(
            f"The curves ask for {run.patients} contoured patients, but there are {len(patients)} to learn from; give "
            "smaller numbers in curves.patients."
        )
    order = np.random.default_rng((settings.seed, run.seed)).permutation(len(patients))
    return tuple(sorted(patients[index] for index in order[: run.patients]))


def _scored_patients(context: _Context, run: CurveRun) -> tuple[str, ...]:
    split = context.ingested.split
    return split.test if run.kind == "point" else split.validation_patients(context.recipe.recipe.split.fold)


def _with_budget(context: _Context, recipe: Recipe, run: CurveRun) -> Recipe:
    """Return the recipe with the budget of a run, and with the time that is left."""
    limits = {"budget": context.recipe.design.budget(run.budget, run.model), "time_budget_hours": context.hours}
    if recipe.nnunet:
        return recipe.model_copy(update={"nnunet": recipe.nnunet.model_copy(update=limits)})
    task = recipe.stage("task")
    training = task.training.model_copy(update=limits)
    return recipe.model_copy(update={"task": task.model_copy(update={"training": training})})
