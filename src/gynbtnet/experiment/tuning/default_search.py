"""Default search space of each network, with reasons and sources."""

from collections.abc import Mapping
from typing import Any

from gynbtnet.experiment.tuning.search_space import SearchSpace, ValueList, ValueRange
from gynbtnet.preparation.planning.settings import ALL_AXES, Axis, PlanSettings, total_stride
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.runtime.array_types import Triple

_RATES = {
    # AdamW, networks of convolutions. With preset XS on the phantom, runs of 150 to 400 steps were best between 3e-3
    # and 1e-2 and learned next to nothing at 1e-3. The paper's rate for 250 000 steps of preset L is 5e-5.
    "gynbtnet": ValueRange(5e-4, 2e-2),
    # AdamW, a transformer: 1e-4 as in Hatamizadeh et al. 2022 (doi:10.1007/978-3-031-08999-2_22) for 15 000 steps and
    # more, and up to a hundred times as much, because short runs of convolutions gain from that.
    "swin_unetr": ValueRange(1e-4, 1e-2),
    # From the usual rate of Adam, 1e-3, to three times nnU-Net's own for SGD, 1e-2 (Isensee et al. 2021,
    # doi:10.1038/s41592-020-01008-z).
    "nnunet": ValueRange(1e-3, 3e-2),
}
# None; 5 %, as the recipes for small machines have; twice as much, for high rates (Goyal et al. 2017,
# arXiv:1706.02677).
_WARM_UP = ValueList((0.0, 0.05, 0.1))
# Left and right only, since a patient is nearly symmetric; all axes, as nnU-Net does; none.
_AXES: tuple[tuple[Axis, ...], ...] = (("x",), ALL_AXES, ())
# nnU-Net's with SGD; AdamW's default in PyTorch; five times as much, as in transformers (Liu et al. 2021,
# doi:10.1109/ICCV48922.2021.00986).
_WEIGHT_DECAY = ValueList((3e-5, 0.01, 0.05))
# A batch of one patch has noisy gradients, and on a CPU a patch then costs 1.75 times as much time.
_BATCHES = (2, 4)
_PATCH_FACTORS = (2 / 3, 4 / 3)  # of each edge: about 0.3 and 2.4 times the voxels, and the time per step
_SWIN_UNETR_MULTIPLE = (32, 32, 32)  # voxels to which it pads
_NNUNET_MULTIPLE = (8, 8, 8)  # voxels of three levels of stride 2
# nnU-Net's planner derives patch and batch from the memory: 8 GB is its default; with 0.2 GB its patch is about a third
# of a pelvis of 40×72×96 voxels along each axis.
_PLANNER_MEMORY_GB = (0.2, 8.0)


def default_space(recipe: Recipe, stage: str) -> SearchSpace:
    """Return the default search space for a stage of a recipe, or for its nnU-Net.

    Patch and batch are searched if the recipe sets them, and otherwise left to the plan; nnU-Net's planner then gets
    several amounts of memory. Axes are searched if the stage augments its patches.

    Args:
        recipe: the recipe.
        stage: ``task``, ``supervised`` or ``nnunet``.

    Returns:
        Values by the dotted key of each setting.

    Raises:
        BadInput: If the recipe has no such stage.
    """
    settings = recipe.stage(stage)
    if stage == "nnunet":
        return _nnunet_space(recipe)
    plan: PlanSettings = settings.plan
    space: dict[str, ValueList | ValueRange] = {
        f"{stage}.training.learning_rate": _RATES[plan.network],
        f"{stage}.training.warm_up_share": _WARM_UP,
    }
    if settings.training.augmentation != "none":
        space[f"{stage}.training.mirror_axes"] = _axes(recipe)
    space[f"{stage}.training.weight_decay"] = _WEIGHT_DECAY
    if plan.patch_size is not None:
        multiple = _SWIN_UNETR_MULTIPLE if plan.network == "swin_unetr" else total_stride(plan.resolved_strides())
        space[f"{stage}.plan.patch_size"] = _patches(plan.patch_size, multiple)
    if plan.batch_size is not None:
        space[f"{stage}.plan.batch_size"] = _batches(plan.batch_size)
    return space


def with_companions(recipe: Recipe, candidate: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of a candidate together with those that they need to be valid.

    A warm-up of nnU-Net needs a schedule that knows the whole run; poly is that of a run with a budget.

    Args:
        recipe: the recipe that is tuned.
        candidate: values by dotted key.
    """
    if recipe.nnunet and candidate.get("nnunet.warm_up_share") and not recipe.nnunet.schedule:
        return {"nnunet.schedule": "poly", **candidate}
    return candidate


def _nnunet_space(recipe: Recipe) -> SearchSpace:
    nnunet = recipe.stage("nnunet")
    space: dict[str, ValueList | ValueRange] = {"nnunet.learning_rate": _RATES["nnunet"]}
    if nnunet.momentum is None:  # which AdamW doesn't have
        space["nnunet.optimiser"] = ValueList(("sgd", "adamw"))
    space["nnunet.warm_up_share"] = _WARM_UP
    space["nnunet.mirror_axes"] = _axes(recipe)
    space["nnunet.weight_decay"] = ValueList((3e-5, 0.01))  # nnU-Net's with SGD, AdamW's default in PyTorch
    if nnunet.patch_size is not None:
        space["nnunet.patch_size"] = _patches(nnunet.patch_size, _NNUNET_MULTIPLE)
    if nnunet.batch_size is not None:
        space["nnunet.batch_size"] = _batches(nnunet.batch_size)
    if nnunet.patch_size is None or nnunet.batch_size is None:
        least, most = _PLANNER_MEMORY_GB
        space["nnunet.gpu_memory_gb"] = ValueRange(least, max(nnunet.gpu_memory_gb or most, 2 * least))
    return space


def _axes(recipe: Recipe) -> ValueList:
    """Return the sets of mirrored axes with which the recipe's prediction may mirror as it is set to."""
    needed = set(recipe.prediction.mirrored_axes or ()) if recipe.prediction.mirroring else set()
    return ValueList(tuple(list(axes) for axes in _AXES if needed <= set(axes)))


def _patches(own: Triple, multiple: Triple) -> ValueList:
    """Return the recipe's patch, a smaller and a larger one in about the same proportions."""
    patches = [list(own)]
    for factor in _PATCH_FACTORS:
        scaled = [max(round(edge * factor / step), 1) * step for edge, step in zip(own, multiple, strict=True)]
        if scaled not in patches and max(scaled) > max(multiple):  # more than one voxel at the coarsest level
            patches.append(scaled)
    return ValueList(tuple(sorted(patches)))


def _batches(own: int) -> ValueList:
    return ValueList(tuple(sorted({own, *_BATCHES})))
