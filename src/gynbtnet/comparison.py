"""GynBTNet and its baselines on one cohort and one split, through one prediction and one evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from gynbtnet.baselines.nnunet_model import NnUNetModel
from gynbtnet.baselines.nnunet_training import train_nnunet
from gynbtnet.errors import BadInput
from gynbtnet.evaluation.evaluate import evaluate
from gynbtnet.experiment import STAGES, ComparedModel, Experiment, StageName
from gynbtnet.inference.contourer import Contourer
from gynbtnet.inference.model import Model
from gynbtnet.optional_libraries import require
from gynbtnet.pipeline import Ingested, Scans, ingest_scans, predict_cases, train_stages
from gynbtnet.progress import console
from gynbtnet.recipes.loading import save_recipe
from gynbtnet.recipes.recipe import Recipe

_OF_THE_NETWORK = ("network", "preset", "strides", "batch_size")


def compare_models(recipe: Recipe, variants: Mapping[str, Recipe], scans: Scans, folder: Path, jobs: int = 1) -> Path:
    """Train each variant of ``recipe``, contour the test patients with it, and score it; returns ``folder``.

    All see the same patients on the same side of one split. What an earlier call finished is kept.

    Args:
        recipe: what the variants are compared with; it says who is held out.
        variants: by name, as :func:`gynbtnet.recipes.variant.load_variant` reads them.
        scans: as of :func:`gynbtnet.pipeline.run_experiment`.
        folder: for each variant ``models/<name>``, ``predictions/<name>/<case id>`` and ``evaluations/<name>``.
        jobs: processes that prepare.

    Raises:
        BadInput: where recipe, variants and scans don't fit together, a library of a baseline isn't installed, or a
            step finds something that it can't use.
    """
    for variant in variants.values():
        _check(recipe, variant)
    whole = Path(folder).absolute()
    ingested = ingest_scans(recipe, scans, Experiment(whole), jobs)
    for name, variant in variants.items():
        compared = ComparedModel(whole, name, _prepared_alike(recipe, variant))
        console.rule(name)
        save_recipe(variant, compared.own_recipe)
        model = _train(variant, ingested, compared, jobs)
        settings = variant.prediction
        predict_cases(model, ingested.test, compared.test_predictions, settings, ingested.names, scans.repairs)
        evaluate(ingested.test, compared.test_predictions, compared.evaluation)
    return whole


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


def _train(variant: Recipe, ingested: Ingested, compared: ComparedModel, jobs: int) -> Contourer:
    device: Literal["auto", "cpu", "cuda"] = variant.prediction.device
    if variant.nnunet is None:
        run = train_stages(variant, ingested, compared, jobs)
        return Model.load(run, weights=variant.prediction.weights, device=device)
    fold, out = variant.split.fold, compared.run("task")
    train_nnunet(ingested.seen, ingested.split, fold, variant.nnunet, out, jobs=jobs)
    return NnUNetModel.load(out, device=device)
