"""Recipes of learning curves."""

from pathlib import Path

import pytest

from gynbtnet.recipes import load_curves, load_recipe, save_recipe, shipped_curves
from gynbtnet.recipes.curves_recipe import is_curves
from gynbtnet.runtime import BadInput
from gynbtnet.training import Budget

MINE = """
name: mine
curves: {unit: steps, budgets: [1, 2], reference: ours}
recipe: [smoke]
models:
  ours: {stages: [supervised, pretraining], candidates: {a: {}, b: {task: {training: {learning_rate: 0.5}}}}}
  nnunet: {baseline: nnunet, candidates: {published: {}}}
"""


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    path, text = folder / "mine.yaml", MINE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", shipped_curves())
def test_models_of_shipped_curves_differ_only_where_they_say(name: str) -> None:
    curves = load_curves(name)
    ours = curves.models["gynbtnet"]
    for name in ("gynbtnet-from-scratch", "gynbtnet-stage-1", "gynbtnet-stage-2"):
        model = curves.models[name]
        assert list(model.candidates) == list(ours.candidates)
        for candidate, variant in model.candidates.items():
            assert variant.stage("task") == ours.candidates[candidate].stage("task")
            assert [stage for stage in ("pretraining", "supervised") if getattr(variant, stage)] == list(model.stages)
    chosen, published = curves.models["nnunet-chosen"], curves.models["nnunet"]
    assert len(chosen.candidates) == len(ours.candidates), "the same freedom of settings"
    assert [v.nnunet and v.nnunet.optimiser for v in published.candidates.values()] == [None]
    spacings = {v.nnunet.spacing for m in (chosen, published) for v in m.candidates.values() if v.nnunet}
    assert spacings == {ours.candidates["adamw-6e-3"].stage("task").plan.spacing}
    assert curves.design.margin == 0.02
    assert curves.design.reference == "gynbtnet"
    assert is_curves(curves.recipe.name)


def test_candidates_and_stages_of_a_file(tmp_path: Path) -> None:
    curves = load_curves(written(tmp_path), ["curves.seeds=2", "task.training.workers=1", "name=other"])
    assert (curves.design.seeds, curves.recipe.name, curves.phantom) == (2, "other", None)
    ours = curves.models["ours"]
    assert ours.stages == ("pretraining", "supervised"), "in the order of training"
    assert [variant.stage("task").training.learning_rate for variant in ours.candidates.values()] == [5e-5, 0.5]
    assert all(variant.stage("task").training.workers == 1 for variant in ours.candidates.values())
    assert curves.design.budget(2, "ours").steps == 2
    assert is_curves(written(tmp_path))
    assert not is_curves("hours")
    assert not is_curves("absent.yaml")


def test_with_a_pace_stages_need_a_budget(tmp_path: Path) -> None:
    pace = "pace: {machine: A, task: {ours: 2.5, nnunet: 0.1}, stages: {pretraining: 3, supervised: 2}}"
    path = written(tmp_path, ("unit: steps", pace))
    budgets = ["pretraining.training.budget={steps: 3}", "supervised.training.budget={cpu_seconds: 3}"]
    load_curves(path, budgets)
    for change in ("pretraining.training.budget=null", "supervised.training.budget={gpu_seconds: 3}"):
        with pytest.raises(BadInput, match=r"^(pretraining|supervised) of ours in .* has no budget"):
            load_curves(path, [*budgets, change])


def test_budgets_with_a_pace_are_the_steps_of_its_machine(tmp_path: Path) -> None:
    pace = "pace: {machine: A, task: {ours: 2.5, nnunet: 0.1}, stages: {pretraining: 3, supervised: 2}}"
    budgets = [f"{stage}.training.budget.steps=9" for stage in ("pretraining", "supervised")]
    design = load_curves(written(tmp_path, ("unit: steps", pace)), budgets).design
    assert design.budget(100, "ours") == Budget(steps=250)
    assert design.budget(1, "nnunet") == Budget(steps=1), "at least one step"


def test_a_recipe_next_to_the_file(tmp_path: Path) -> None:
    save_recipe(load_recipe("smoke", ["task.training.epochs=7"]), tmp_path / "base.yaml")
    assert load_curves(written(tmp_path, ("[smoke]", "[base.yaml]"))).recipe.stage("task").training.epochs == 7


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("reference: ours", "reference: theirs", "curves.reference in .* is theirs; expected one of ours, nnunet"),
        ("[1, 2]", "[2, 1]", "expected budgets above 0 in ascending order"),
        ("reference: ours", "reference: ours, patients: [1]", "numbers of patients, at least 2"),
        ("reference: ours", "reference: ours, long_budget: 2", "expected a long_budget above the others"),
        ("[1, 2]", "[0.5, 2]", "expected budgets in whole steps"),
        ("[1, 2]", "[1000000, 1000001]", "expected budgets that differ in their first six digits"),
        (
            "reference: ours",
            "reference: ours, patients_budget: 0",
            "patients_budget in .* is 0; input should be greater",
        ),
        ("reference: ours", "reference: ours, patients_budget: 1.5", "expected budgets in whole steps"),
        (
            "reference: ours",
            "reference: ours, pace: {machine: A, task: {}}",
            "expected no pace if budgets are in steps",
        ),
        ("unit: steps", "pace: {machine: A, task: {ours: 1}}", "each model, but nnunet is missing there"),
        (
            "unit: steps",
            "pace: {machine: A, task: {ours: 1, nnunet: 1, mine: 1}}",
            "each model, but mine isn't a model of these curves",
        ),
        ("unit: steps", "pace: {machine: A, task: {ours: 1, nnunet: 1}}", "pace.stages in .* lacks (pre|super)"),
        ("unit: steps", "pace: {machine: A, task: {ours: 0}}", "curves.pace.task.ours in .* is 0; input should be gr"),
        ("published: {}", "published: {split: {seed: 9}}", "The model nnunet changes split and couldn't be compared"),
        ("published: {}", "published: {structures: [x]}", "The model nnunet changes structures and couldn't be"),
        ("[smoke]", "[other.yaml]", "There is no recipe .*other.yaml; "),
        ("{a: {}", "{a/b: {}", "names 'a/b'; expected names of letters"),
        ("baseline: nnunet", "baseline: nnunet, stages: [pretraining]", "has the stage pretraining, which its recipe"),
        ("learning_rate", "learning_speed", "learning_speed in .* is not a setting"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        load_curves(written(tmp_path, (old, new)))
