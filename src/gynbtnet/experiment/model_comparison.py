"""GynBTNet and its baselines on one cohort and one split, through one prediction and one evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gynbtnet.baselines.nnunet_model import NnUNetModel
from gynbtnet.baselines.nnunet_training import train_nnunet
from gynbtnet.evaluation.metrics.evaluation import evaluate
from gynbtnet.experiment.cross_validation import CrossValidation, crossvalidate, evaluate_folds, predict_fold
from gynbtnet.experiment.folders import STAGES, ComparedModel, Experiment, StageName
from gynbtnet.experiment.pipeline import Ingested, Scans, ingest_scans, predict_cases, prepare_stage, train_before_task
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.recipes.loading import save_recipe
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.optional_dependencies import require
from gynbtnet.runtime.progress import console

_OF_THE_NETWORK = ("network", "preset", "strides", "batch_size")


def compare_models(
    recipe: Recipe,
    variants: Mapping[str, Recipe],
    scans: Scans,
    folder: Path,
    *,
    every_fold: bool = False,
    jobs: int = 1,
) -> dict[str, ComparedModel]:
    """Train each variant of ``recipe``, contour the test patients with it, and score it; returns where each keeps what.

    All see the same patients on the same side of one split. What an earlier call finished is kept.

    Args:
        recipe: what the variants are compared with; it says who is held out.
        variants: by name, as :func:`gynbtnet.recipes.variant.load_variant` reads them.
        scans: as of :func:`gynbtnet.experiment.pipeline.run_experiment`.
        folder: for each variant ``models/<name>``, ``predictions/<name>/<case id>`` and ``evaluations/<name>``.
        every_fold: learn the task once for each fold of the split, and contour the test patients with the mean of all
            folds; otherwise the recipe's one fold stands alone. What comes before the task is learned once.
        jobs: processes that prepare.

    Raises:
        BadInput: where recipe, variants and scans don't fit together, a library of a baseline isn't installed, or a
            step finds something that it can't use.
    """
    for variant in variants.values():
        _check(recipe, variant)
    whole = Path(folder).absolute()
    ingested = ingest_scans(recipe, scans, Experiment(whole), jobs)
    folds = range(len(ingested.split.folds)) if every_fold else (recipe.split.fold,)
    places = {name: ComparedModel(whole, name, _prepared_alike(recipe, variants[name])) for name in variants}
    for name, variant in variants.items():
        compared = places[name]
        console.rule(name)
        save_recipe(variant, compared.own_recipe)
        learn = _learn_nnunet if variant.nnunet else _learn
        model = learn(variant, ingested, compared, folds, jobs)
        settings = variant.prediction
        predict_cases(model, ingested.test, compared.test_predictions, settings, ingested.names, scans.repairs)
        evaluate(ingested.test, compared.test_predictions, compared.evaluation)
    return places


def folds_of(compared: ComparedModel) -> CrossValidation:
    """The folds of a model's task, what each made of its validation patients, and the scores of that."""
    return CrossValidation(compared.run("task"))


def _check(recipe: Recipe, variant: Recipe) -> None:
    """Say what is wrong before the hours are spent."""
    for setting in ("structures", "aliases", "split"):
        if getattr(variant, setting) != getattr(recipe, setting):
            raise BadInput(f"The model {variant.name} changes {setting}, and could not be compared; leave it as it is.")
    if not (variant.task or variant.nnunet):
        raise BadInput(f"The model {variant.name} has neither a task stage nor nnunet, and would contour nothing.")
    for stage in ("pretraining", "supervised"):
        if getattr(variant, stage) and not getattr(recipe, stage):
            raise BadInput(f"The model {variant.name} has a {stage} stage, for which {recipe.name} takes no scans.")
    if variant.nnunet:
        require("nnunet", "nnunetv2")
    if variant.task and variant.task.plan.network == "swin_unetr":
        require("baselines", "monai", "einops")


def _prepared_alike(recipe: Recipe, variant: Recipe) -> frozenset[StageName]:
    """Stages whose plans differ in nothing that the prepared voxels depend on."""
    return frozenset(stage for stage in STAGES if _preparation(recipe, stage) == _preparation(variant, stage))


def _preparation(recipe: Recipe, stage: StageName) -> dict[str, object] | None:
    settings = getattr(recipe, stage)
    if settings is None:
        return None
    plan: dict[str, object] = settings.plan.model_dump(exclude=set(_OF_THE_NETWORK))
    return plan | {"structures": getattr(settings, "structures", None)}


def _learn(variant: Recipe, ingested: Ingested, compared: ComparedModel, folds: Sequence[int], jobs: int) -> Segmenter:
    start = train_before_task(variant, ingested, compared, jobs)
    prepared = prepare_stage("task", ingested.seen, variant.stage("task").plan, compared, jobs)
    home = folds_of(compared)
    crossvalidate(prepared, ingested.cohort, variant, ingested.split, home.folder, start=start, folds=folds)
    return load_model(home.folder if len(folds) > 1 else home.fold(folds[0]), variant.prediction)


def _learn_nnunet(
    variant: Recipe, ingested: Ingested, compared: ComparedModel, folds: Sequence[int], jobs: int
) -> Segmenter:
    assert variant.nnunet
    settings, home, device = variant.nnunet, folds_of(compared), variant.prediction.device
    cohort, split = ingested.cohort, ingested.split
    runs = []
    for fold in folds:
        console.rule(f"Fold {fold}")
        runs.append(train_nnunet(ingested.seen, split, fold, settings, home.folder, jobs=jobs))
        predict_fold(NnUNetModel.load(runs[-1], device=device), cohort, split, fold, home, variant.prediction)
    evaluate_folds(cohort, split, home, folds)
    return NnUNetModel.load(*runs[: variant.prediction.folds], device=device)
