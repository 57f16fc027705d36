"""GynBTNet and its baselines on one cohort and one split, with the same prediction and evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gynbtnet.baselines.nnunet_model import NnUNetModel
from gynbtnet.baselines.nnunet_training import train_nnunet
from gynbtnet.evaluation.metrics.evaluation import evaluate
from gynbtnet.experiment.cross_validation import (
    CrossValidation,
    FoldContext,
    crossvalidate,
    evaluate_folds,
    predict_fold,
)
from gynbtnet.experiment.folders import STAGES, ComparedModel, Experiment, StageName
from gynbtnet.experiment.pipeline import predict_cases
from gynbtnet.experiment.scans import Scans, ingest_scans
from gynbtnet.experiment.stage_training import StagesContext, prepare_stage, train_before_task
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.recipes.loading import save_recipe
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.recipes.variant import check_comparable
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.optional_dependencies import require
from gynbtnet.runtime.progress import console

_NETWORK_SETTINGS = ("network", "preset", "strides", "batch_size")
"""Plan settings that prepared voxels don't depend on."""


def compare_models(
    recipe: Recipe,
    variants: Mapping[str, Recipe],
    scans: Scans,
    folder: Path,
    *,
    every_fold: bool = False,
    jobs: int = 1,
) -> dict[str, ComparedModel]:
    """Train each variant of a recipe, predict the test patients with it, and score the predictions.

    All variants have the same split of the patients. Results of an earlier call are kept.

    Args:
        recipe: recipe with which the variants are compared; it defines the split.
        variants: recipes by name, as :func:`gynbtnet.recipes.variant.load_variant` reads them.
        scans: the scans, see :func:`gynbtnet.experiment.pipeline.run_experiment`.
        folder: the folder to write; for each variant ``models/<name>``, ``predictions/<name>/<case id>`` and
            ``evaluations/<name>``.
        every_fold: train the task once per fold of the split, and predict the test patients with the mean of all folds.
            Otherwise only the recipe's fold is trained. Earlier stages are trained once.
        jobs: number of parallel processes for ingestion and preparation.

    Returns:
        The paths of each variant, by name.

    Raises:
        BadInput: If recipe, variants and scans don't fit together, a library of a baseline isn't installed, or a step
            can't use its input.
    """
    for variant in variants.values():
        _check_variant(recipe, variant)
    root = Path(folder).absolute()
    ingested = ingest_scans(recipe, scans, Experiment(root), jobs)
    folds = range(len(ingested.split.folds)) if every_fold else (recipe.split.fold,)
    models = {name: ComparedModel(root, name, _shared_stages(recipe, variants[name])) for name in variants}
    for name, variant in variants.items():
        console.rule(name)
        folders = models[name]
        save_recipe(variant, folders.own_recipe)
        context = StagesContext(variant, ingested, folders, jobs)
        model = _train_nnunet(context, folds) if variant.nnunet else _train(context, folds)
        predict_cases(model, ingested.test, folders.test_predictions, variant.prediction, ingested)
        evaluate(ingested.test, folders.test_predictions, folders.evaluation)
    return models


def folds_of(folders: Experiment) -> CrossValidation:
    """Return the folds of a model's task, with predictions and scores of their validation patients."""
    return CrossValidation(folders.run("task"))


def _check_variant(recipe: Recipe, variant: Recipe) -> None:
    """Check a variant before hours are spent on it."""
    check_comparable(recipe, variant)
    if not (variant.task or variant.nnunet):
        raise BadInput(f"The model {variant.name} has neither task nor nnunet and would predict nothing; add one.")
    for stage in ("pretraining", "supervised"):
        if getattr(variant, stage) and not getattr(recipe, stage):
            raise BadInput(
                f"The model {variant.name} has the stage {stage}, but {recipe.name} has no scans for it; add the stage "
                "to the recipe, or remove it from the model."
            )
    if variant.nnunet:
        require("nnunet", "nnunetv2")
    if variant.task and variant.task.plan.network == "swin_unetr":
        require("baselines", "monai", "einops")


def _shared_stages(recipe: Recipe, variant: Recipe) -> frozenset[StageName]:
    """Return the stages whose prepared voxels are the same for recipe and variant."""
    return frozenset(stage for stage in STAGES if _preparation(recipe, stage) == _preparation(variant, stage))


def _preparation(recipe: Recipe, stage: StageName) -> dict[str, object] | None:
    settings = getattr(recipe, stage)
    if settings is None:
        return None
    plan: dict[str, object] = settings.plan.model_dump(exclude=set(_NETWORK_SETTINGS))
    return plan | {"structures": getattr(settings, "structures", None)}


def _train(context: StagesContext, folds: Sequence[int]) -> Segmenter:
    """Train all stages, the task once per fold; return the model, or the ensemble of the folds."""
    recipe, ingested = context.recipe, context.ingested
    start = train_before_task(context)
    prepared = prepare_stage(context, "task", ingested.training, recipe.stage("task").plan)
    folders = folds_of(context.folders)
    crossvalidate(prepared, ingested.cohort, recipe, ingested.split, folders.folder, start=start, folds=folds)
    return load_model(folders.folder if len(folds) > 1 else folders.fold(folds[0]), recipe.prediction)


def _train_nnunet(context: StagesContext, folds: Sequence[int]) -> Segmenter:
    """Train nnU-Net once per fold; return the model, or the ensemble of the folds."""
    recipe, ingested = context.recipe, context.ingested
    assert recipe.nnunet
    shared = FoldContext(ingested.cohort, recipe, ingested.split, folds_of(context.folders))
    device, home = recipe.prediction.device, shared.folders.folder
    runs = []
    for fold in folds:
        console.rule(f"Fold {fold}")
        run = train_nnunet(ingested.training, ingested.split, fold, recipe.nnunet, home, jobs=context.jobs)
        predict_fold(shared, NnUNetModel.load(run, device=device), fold)
        runs.append(run)
    evaluate_folds(shared, folds)
    return NnUNetModel.load(*runs[: recipe.prediction.folds], device=device)
