"""Training stages of an experiment: plan and prepare the scans of a stage, then train on them."""

from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import hold_out_patients
from gynbtnet.experiment.folders import STAGES, Experiment, StageName
from gynbtnet.experiment.scans import Ingested
from gynbtnet.preparation.planning.make_plan import make_plan
from gynbtnet.preparation.planning.plan_files import save_plan
from gynbtnet.preparation.planning.settings import PlanSettings
from gynbtnet.preparation.prepare_cohort import prepare
from gynbtnet.preparation.store import PreparedCohort
from gynbtnet.recipes.recipe import AnyPretraining, Recipe, SupervisedStage
from gynbtnet.runtime.progress import console
from gynbtnet.training.stages import finetune, pretrain


@dataclass(frozen=True)
class StagesContext:
    """Everything that the training stages of one model need.

    Attributes:
        recipe: recipe of the model.
        ingested: the scans and their split.
        folders: paths of the experiment.
        jobs: number of parallel processes for planning and preparation.
    """

    recipe: Recipe
    ingested: Ingested
    folders: Experiment
    jobs: int = 1


def train_all_stages(context: StagesContext) -> Path:
    """Train all stages of the recipe; return the run folder of the last, which is the model."""
    start = train_before_task(context)
    task, split = context.recipe.stage("task"), context.ingested.split
    prepared = prepare_stage(context, "task", context.ingested.training, task.plan)
    validation = split.validation_patients(context.recipe.split.fold)
    return finetune(
        prepared,
        task.training,
        context.folders.run("task"),
        training_ids=prepared.ids_of(set(prepared.patients).difference(validation)),
        validation_ids=prepared.ids_of(validation),
        start=start,
    )


def train_before_task(context: StagesContext) -> Path | None:
    """Train stages 1 and 2, if the recipe has them.

    Returns:
        The run folder from which the task starts; None if the task is trained from scratch.
    """
    recipe, ingested = context.recipe, context.ingested
    start = None
    if recipe.pretraining and ingested.unlabelled:
        start = _train_pretraining(context, recipe.pretraining, ingested.unlabelled)
    if recipe.supervised and ingested.organs:
        start = _train_supervised(context, recipe.supervised, ingested.organs, start)
    return start


def prepare_stage(context: StagesContext, stage: StageName, cohort: Cohort, settings: PlanSettings) -> PreparedCohort:
    """Plan and prepare the scans of a stage.

    Args:
        context: folders and number of processes.
        stage: the stage.
        cohort: its scans.
        settings: its plan settings.
    """
    console.rule(STAGES[stage])
    plan = make_plan(cohort, settings, jobs=context.jobs)
    save_plan(plan, context.folders.plan(stage))
    # contours that nobody has approved were refused, or allowed, when the scans were ingested
    return prepare(cohort, plan, context.folders.prepared(stage), context.jobs, allow_automatic=True)


def _train_pretraining(context: StagesContext, stage: AnyPretraining, cohort: Cohort) -> Path:
    """Train stage 1; return its run folder."""
    prepared = prepare_stage(context, "pretraining", cohort, stage.plan)
    validation = _validation_patients(stage, cohort)
    return pretrain(
        prepared,
        stage.training,
        context.folders.run("pretraining"),
        training_ids=prepared.ids_of(set(cohort.patients).difference(validation)),
        validation_ids=prepared.ids_of(validation),
    )


def _train_supervised(context: StagesContext, stage: SupervisedStage, cohort: Cohort, start: Path | None) -> Path:
    """Train stage 2; return its run folder."""
    prepared = prepare_stage(context, "supervised", cohort, stage.plan)
    validation = _validation_patients(stage, cohort)
    return finetune(
        prepared,
        stage.training,
        context.folders.run("supervised"),
        training_ids=prepared.ids_of(set(cohort.patients).difference(validation)),
        validation_ids=prepared.ids_of(validation),
        start=start,
    )


def _validation_patients(stage: AnyPretraining | SupervisedStage, cohort: Cohort) -> tuple[str, ...]:
    """Return the validation patients of a stage that has no folds."""
    return hold_out_patients(cohort.patients, stage.validation, stage.training.seed)
