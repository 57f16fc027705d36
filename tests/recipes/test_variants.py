"""Baselines as recipes that are written as changes to another one."""

from pathlib import Path

import pytest

from gynbtnet.recipes.loading import load_recipe, save_recipe
from gynbtnet.recipes.recipe import SwinPretrainingStage
from gynbtnet.recipes.variant import BASELINES, load_variant, load_variants
from gynbtnet.runtime import BadInput

DEMO = load_recipe("demo")


@pytest.mark.parametrize("base", ["demo", "real_small"])
@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_a_recipe_and_comes_back_from_its_resolved_form(name: str, base: str, tmp_path: Path) -> None:
    recipe = load_variant(name, load_recipe(base))
    assert recipe.name == name
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_from_scratch_differs_in_nothing_but_the_stages_before() -> None:
    scratch = load_variant("gynbtnet-from-scratch", DEMO)
    told = {"name": "", "description": "", "pretraining": None, "supervised": None}
    assert scratch.model_copy(update=told) == DEMO.model_copy(update=told)
    assert scratch.pretraining is scratch.supervised is None
    assert load_variant("gynbtnet", DEMO).model_copy(update=told) == DEMO.model_copy(update=told)


def test_swin_unetr_differs_in_its_network_and_its_pretraining() -> None:
    swin = load_variant("swin-unetr", DEMO)
    for stage in ("pretraining", "supervised", "task"):
        ours, theirs = DEMO.stage(stage).plan, swin.stage(stage).plan
        assert (theirs.network, theirs.preset, theirs.resolved_strides()) == ("swin_unetr", "F48", ())
        network = {"network": ours.network, "preset": ours.preset, "strides": ours.strides}
        assert theirs.model_copy(update=network) == ours
    own = {"initialisation": "pytorch"}
    assert swin.stage("task").training == DEMO.stage("task").training.model_copy(update=own)
    assert isinstance(swin.pretraining, SwinPretrainingStage)
    assert swin.pretraining.training.cutout_ratio == 0.3
    assert swin.pretraining.training.learning_rate == 4e-4
    assert swin.pretraining.training.epochs == DEMO.stage("pretraining").training.epochs


def test_nnunet_has_its_own_numbers() -> None:
    nnunet = load_variant("nnunet", DEMO)
    assert nnunet.nnunet is not None
    assert (nnunet.nnunet.epochs, nnunet.nnunet.steps_per_epoch, nnunet.nnunet.validation_steps) == (1000, 250, 50)
    assert (nnunet.nnunet.planner, nnunet.nnunet.workers) == ("default", None)
    assert nnunet.pretraining is nnunet.supervised is nnunet.task is None


def test_a_stage_that_the_recipe_leaves_out_stays_out() -> None:
    swin = load_variant("swin-unetr", load_recipe("demo", ["pretraining=null", "supervised=null"]))
    assert swin.pretraining is swin.supervised is None
    assert swin.stage("task").plan.network == "swin_unetr"


def test_changes_of_one_model_and_a_variant_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "small-batches.yaml").write_text("task: {plan: {batch_size: 1}}")
    names = ["nnunet", str(tmp_path / "small-batches.yaml")]
    results = load_variants(names, DEMO, {"nnunet": ["nnunet.epochs=3"]})
    assert list(results) == ["nnunet", "small-batches"]
    assert results["nnunet"].nnunet is not None
    assert results["nnunet"].nnunet.epochs == 3
    assert results["small-batches"].stage("task").plan.batch_size == 1
    assert results["small-batches"].pretraining == DEMO.pretraining


@pytest.mark.parametrize(
    ("names", "changes", "words"),
    [
        (["unet"], {}, "no model unet; expected one of gynbtnet, gynbtnet-from-scratch, swin-unetr, nnunet"),
        (["nnunet", "nnunet"], {}, "Two models have the same name"),
        (["nnunet"], {"swin-unetr": ["task.training.epochs=1"]}, "not among nnunet"),
        (["nnunet"], {"nnunet": ["nnunet.epoch=1"]}, r"nnunet\.epoch in .* is not a setting; expected one of: epochs"),
        (["nnunet"], {"nnunet": ["task={plan: {}, training: {}}"]}, "nnunet replaces the stages"),
        (["swin-unetr"], {"swin-unetr": ["pretraining.training.mask_ratio=0.5"]}, "expected one of: .*cutout_ratio"),
        (
            ["swin-unetr"],
            {"swin-unetr": ["pretraining.training.cutout_ratio=2"]},
            r"pretraining\.training\.cutout_ratio in",
        ),
        (["gynbtnet"], {"gynbtnet": ["pretraining.training.cutout_ratio=0.5"]}, "expected one of: .*mask_ratio"),
        (["swin-unetr"], {"swin-unetr": ["task.plan.patch_size=[16, 32, 32]"]}, "single voxel to normalise over"),
    ],
)
def test_what_does_not_fit(names: list[str], changes: dict[str, list[str]], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        load_variants(names, DEMO, changes)
