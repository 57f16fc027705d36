"""Tests of recipes with several models: their parts, and errors in them."""

from pathlib import Path

import pytest

from gynbtnet.phantom import fraction_count
from gynbtnet.recipes.comparison_recipe import load_comparison, shipped_comparisons
from gynbtnet.recipes.loading import load_recipe
from gynbtnet.recipes.variant import BASELINES, load_variant
from gynbtnet.runtime import BadInput

OWN = """
name: own
phantom: {patients: 3, fractions: 1}
recipe: [smoke, {split: {folds: 3}}]
models:
  gynbtnet:
  wide: {task: {plan: {preset: S}}}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("name", shipped_comparisons())
def test_shipped_ones_have_the_four_models_on_one_split(name: str) -> None:
    comparison = load_comparison(name)
    assert comparison.recipe.name == name
    assert tuple(comparison.models) == BASELINES
    assert {variant.split for variant in comparison.models.values()} == {comparison.recipe.split}


def test_three_sizes_and_real_scans() -> None:
    assert sorted(shipped_comparisons()) == ["gpu", "hours", "minutes", "sts"]
    for name in ("gpu", "hours", "minutes"):
        phantom = load_comparison(name).phantom
        assert phantom is not None
        assert load_comparison(name).recipe.split.folds == 5  # as in the paper
        assert phantom.patients == 30
        assert sum(fraction_count(patient, phantom.fractions) for patient in range(phantom.patients)) == 145
        assert load_comparison(name).recipe.split.test == 0.2
    assert load_comparison("sts").phantom is None


@pytest.mark.parametrize("name", ["minutes", "hours", "sts"])
def test_all_models_have_the_same_cpu_time_for_the_task(name: str) -> None:
    """And pretrained ones the same for each stage before."""
    models = load_comparison(name).models
    for stage in ("pretraining", "supervised"):
        assert models["gynbtnet"].stage(stage).training.budget == models["swin-unetr"].stage(stage).training.budget
    budgets = {variant.task.training.budget for variant in models.values() if variant.task}
    assert models["nnunet"].nnunet is not None
    budgets.add(models["nnunet"].nnunet.budget)
    (budget,) = budgets
    assert budget is not None
    assert budget.cpu_seconds is not None
    assert models["nnunet"].nnunet.gpu_memory_gb == 0.3


def test_the_largest_has_the_papers_stages_and_the_baselines_as_they_were_published() -> None:
    comparison = load_comparison("gpu")
    for stage, paper in (("pretraining", "pretrain"), ("supervised", "supervised"), ("task", "task")):
        assert comparison.recipe.stage(stage) == load_recipe(paper).stage(stage)
    assert comparison.recipe.prediction == load_recipe("task").prediction
    for name in BASELINES:
        assert comparison.models[name] == load_variant(name, comparison.recipe)


def test_what_a_model_changes_changes_it_alone(own: Path) -> None:
    comparison = load_comparison(
        own, ["task.training.epochs=7", "phantom.patients=5"], None, {"wide": ["task.plan.preset=B"]}
    )
    assert comparison.phantom is not None
    assert (comparison.phantom.patients, comparison.recipe.split.folds, comparison.recipe.split.test) == (5, 3, 1)
    assert [comparison.models[name].stage("task").plan.preset for name in ("gynbtnet", "wide")] == ["XXS", "B"]
    assert {variant.stage("task").training.epochs for variant in comparison.models.values()} == {7}
    assert list(load_comparison(own, models=["wide"]).models) == ["wide"]


def test_a_change_of_a_model_that_is_not_loaded_is_reported(own: Path) -> None:
    with pytest.raises(BadInput, match="--set changes the model wide, which is not among gynbtnet"):
        load_comparison(own, models=["gynbtnet"], model_changes={"wide": ["task.plan.preset=B"]})


def test_a_stage_that_is_left_out_stays_out_of_every_model() -> None:
    comparison = load_comparison("minutes", ["supervised=null", "pretraining=null"])
    assert all(variant.pretraining is variant.supervised is None for variant in comparison.models.values())


def test_recipes_and_roi_names_are_looked_for_next_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text((Path(load_recipe.__code__.co_filename).parent / "smoke.yaml").read_text())
    (tmp_path / "names.yaml").write_text("bladder: [Blase]")
    (tmp_path / "own.yaml").write_text(
        "{name: own, recipe: [base.yaml, {aliases: names.yaml}], models: {gynbtnet: {}}}"
    )
    assert load_comparison(tmp_path / "own.yaml").models["gynbtnet"].aliases == tmp_path / "names.yaml"


@pytest.mark.parametrize(
    ("text", "changes", "models", "words"),
    [
        (OWN, (), ["unet"], "There is no model unet in .*; expected some of gynbtnet, wide"),
        (OWN, ("phantom.patient=3",), None, r"phantom\.patient in .* is not a setting; expected one of: patients"),
        (OWN, ("phantom.patients=0",), None, r"phantom\.patients in .* is 0; "),
        (OWN, ("task.training.epoch=3",), None, r"task\.training\.epoch in .* is not a setting"),
        (OWN.replace("preset: S", "preset: Q"), (), None, r"task\.plan\.preset in .* is 'Q'"),
        (OWN.replace("name: own", "names: own"), (), None, "name is missing in .*own.yaml"),
        (OWN.replace("smoke", "smokes"), (), None, "There is no recipe .*smokes"),
        (OWN.replace("wide:", "../wide:"), (), None, "names '../wide'; expected names of letters"),
        (OWN.replace("wide:", "'':"), (), None, "names ''; expected names of letters"),
        ("{name: own, recipe: [smoke], models: {}}", (), None, "models in "),
        ("{name: own, recipe: [], models: {gynbtnet: }}", (), None, "recipe in "),
    ],
)
def test_what_does_not_fit(tmp_path: Path, text: str, changes: tuple[str, ...], models: list[str], words: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(BadInput, match=words):
        load_comparison(tmp_path / "own.yaml", changes, models)


def test_an_unknown_name_is_reported_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a YAML file or one of the shipped ones: gpu, hours, minutes, sts"):
        load_comparison(tmp_path / "days.yaml")
