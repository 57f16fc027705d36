"""Cross-validation: train each fold of a split and predict its validation patients with that fold's model."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.calibration.postprocessing_selection import Trial, select_postprocessing
from gynbtnet.evaluation.calibration.quality_calibration import calibrate_quality
from gynbtnet.evaluation.metrics.evaluation import Evaluation, evaluate
from gynbtnet.experiment.image_prediction import predict_images
from gynbtnet.experiment.parallel_folds import run_folds_in_parallel
from gynbtnet.experiment.single_stages import finetune_alone
from gynbtnet.inference.engine.mirroring import tta_signature
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.models.evaluated_settings import save_evaluated_settings
from gynbtnet.inference.models.model import Model
from gynbtnet.preparation.planning.plan_files import load_plan, save_plan
from gynbtnet.preparation.planning.structure_volumes import structure_volumes
from gynbtnet.preparation.store import PreparedCohort
from gynbtnet.recipes.recipe import Recipe, TaskStage
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.processes import launcher_world_size
from gynbtnet.runtime.progress import console


@dataclass(frozen=True)
class CrossValidation:
    """Paths in the folder of a cross-validation, which is also a model: the ensemble of its folds.

    Attributes:
        folder: the folder.
    """

    folder: Path

    def fold(self, number: int) -> Path:
        """Return the run folder of a fold, which is a model."""
        return self.folder / f"fold_{number}"

    @property
    def predictions(self) -> Path:
        """Predictions of all cases outside the test set, each by the fold that its patient validates."""
        return self.folder / "predictions"

    @property
    def evaluation(self) -> Path:
        """Scores of these predictions, without post-processing."""
        return self.folder / "evaluation"

    @property
    def trials(self) -> Path:
        """Post-processing steps that were tried on these predictions, and their effect."""
        return self.folder / "postprocessing.csv"


@dataclass(frozen=True)
class FoldContext:
    """Everything that the folds of one model share.

    Attributes:
        cohort: original scans and their contours.
        recipe: task stage and prediction.
        split: folds and test patients.
        folders: paths of the cross-validation.
    """

    cohort: Cohort
    recipe: Recipe
    split: Split
    folders: CrossValidation


def crossvalidate(
    prepared: PreparedCohort,
    cohort: Cohort,
    recipe: Recipe,
    split: Split,
    out: Path,
    *,
    start: Path | None = None,
    folds: Sequence[int] | None = None,
    jobs: int = 1,
) -> Evaluation:
    """Train the task stage once per fold, predict the validation patients of each fold, and score them all.

    Results of an earlier call are kept, and an interrupted fold resumes from its checkpoint. A fold is identical to a
    run of ``gynbtnet finetune`` with ``split.fold`` set to its number. Folds can therefore be trained on several
    machines and combined by a last call.

    Args:
        prepared: prepared scans of the cohort; those of the test patients may be absent.
        cohort: original scans, which are predicted, and their contours.
        recipe: task stage and prediction.
        split: split with the folds; its test patients are not used.
        out: the folder, see :class:`CrossValidation`.
        start: run folder of an earlier stage from which all folds start; None: from scratch.
        folds: folds to train; None: all.
        jobs: number of folds trained in parallel, each on a separate GPU if there are several.

    Returns:
        Scores of the validation patients of these folds.

    Raises:
        BadInput: If scans, split and recipe don't belong together, or several devices are requested.
        Paused: If the recipe's time budget is used up before all folds have ended.
    """
    task: TaskStage = recipe.stage("task")
    _check_devices(task)
    _check_scans(prepared, cohort, split)
    context = FoldContext(cohort, recipe, split, CrossValidation(Path(out)))
    numbers = range(len(split.folds)) if folds is None else folds
    run_fold = partial(_train_and_predict, context, prepared, start)
    if jobs == 1:
        for fold in numbers:
            console.rule(f"Fold {fold}")
            run_fold(fold)
    else:
        epochs = task.training.epochs if task.training.budget is None else None
        run_folds_in_parallel(run_fold, {fold: context.folders.fold(fold) for fold in numbers}, jobs, epochs)
    save_plan(load_plan(context.folders.fold(numbers[0])), context.folders.folder)
    return evaluate_folds(context, numbers)


def predict_fold(context: FoldContext, model: Segmenter, fold: int) -> None:
    """Predict the validation patients of a fold with the model that was trained on the others.

    Args:
        context: cohort, split, prediction settings and folders.
        model: model of the fold.
        fold: number of the fold.
    """
    validated = context.cohort.of_patients(context.split.validation_patients(fold))
    predict_images(model, validated, context.folders.predictions, context.recipe.prediction)


def evaluate_folds(context: FoldContext, folds: Sequence[int]) -> Evaluation:
    """Score the validation patients of several folds together.

    Args:
        context: cohort, split and folders.
        folds: numbers of the folds.
    """
    patients = (patient for fold in folds for patient in context.split.validation_patients(fold))
    return evaluate(context.cohort.of_patients(patients), context.folders.predictions, context.folders.evaluation)


def calibrate_from_folds(cohort: Cohort, recipe: Recipe, split: Split, out: Path) -> None:
    """Calibrate the ensemble of the folds on their validation patients, once all of them are predicted.

    Post-processing that improves these predictions and the range of volumes are written to the plan in ``out``. The
    calibration of the predicted DSC is written to ``quality.json`` next to it.

    Args:
        cohort: see :func:`crossvalidate`.
        recipe: see :func:`crossvalidate`.
        split: see :func:`crossvalidate`; all its folds must be predicted.
        out: see :func:`crossvalidate`.
    """
    folders = CrossValidation(Path(out))
    validated = cohort.of_patients(patient for fold in split.folds for patient in fold)
    plan = load_plan(folders.folder)
    choice = select_postprocessing(validated, folders.predictions, plan.nesting)
    with atomic_write(folders.trials) as partial_file:
        trials = pd.DataFrame(choice.trials, columns=[field.name for field in fields(Trial)])
        trials.to_csv(partial_file, index=False)
    signature = tta_signature(recipe.prediction, plan)
    quality = calibrate_quality(cohort, split, folders.predictions, choice.rules, plan.nesting, tta_signature=signature)
    quality.save(folders.folder)
    save_plan(replace(plan, volumes=structure_volumes(validated), postprocessing=choice.rules), folders.folder)
    save_evaluated_settings(recipe.prediction, folders.folder)


def _check_devices(task: TaskStage) -> None:
    if task.training.devices > 1 or launcher_world_size() not in (None, (1, 1)):
        raise BadInput(
            "A cross-validation trains each fold on one device, and several folds in parallel with --jobs. For several "
            "devices per fold, train each with `gynbtnet finetune --set split.fold=…` into fold_0, fold_1, … of --out, "
            "then call this command again with devices=1."
        )


def _check_scans(prepared: PreparedCohort, cohort: Cohort, split: Split) -> None:
    split.check(cohort)
    required = {case.id for case in cohort.cases if case.patient not in split.test}
    unprepared = required.difference(case.id for case in prepared.cases)
    if unprepared:
        raise BadInput(
            f"{prepared.folder} lacks {counted(len(unprepared), 'case')} of the cohort {cohort.folder}, not counting "
            "those held out; prepare the cohort with `gynbtnet prepare`."
        )


def _train_and_predict(context: FoldContext, prepared: PreparedCohort, start: Path | None, fold: int) -> None:
    recipe = context.recipe
    fold_recipe = recipe.model_copy(update={"split": recipe.split.model_copy(update={"fold": fold})})
    run = finetune_alone(prepared, fold_recipe, "task", context.split, start, context.folders.fold(fold))
    model = Model.load(run, weights=recipe.prediction.weights, device=recipe.prediction.device)
    predict_fold(context, model, fold)
    save_evaluated_settings(recipe.prediction, run)
