import re
from pathlib import Path

import pytest
import yaml

from gynbtnet.baselines import NnUNetSettings
from gynbtnet.datasets import Split
from gynbtnet.imaging import StructureNames
from gynbtnet.inference import PredictionSettings
from gynbtnet.preparation import PlanSettings
from gynbtnet.recipes.loading import (
    RECIPE_FOLDER,
    load_recipe,
    load_run_recipe,
    read_yaml,
    save_recipe,
    shipped_recipes,
    with_changes,
)
from gynbtnet.recipes.recipe import PretrainingStage
from gynbtnet.recipes.variant import load_variant
from gynbtnet.runtime import BadInput, Settings
from gynbtnet.training import (
    LEGACY_VALUES,
    RENAMED_SETTINGS,
    PretrainingSettings,
    ProxyTaskSettings,
    SegmentationSettings,
)


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_load_and_come_back_from_their_resolved_form(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_a_change_reaches_its_setting_and_no_other() -> None:
    changed = load_recipe("demo", ["task.training.epochs=7", "split.test=3"])
    assert changed.stage("task").training.epochs == 7
    assert changed.split.test == 3
    assert changed.pretraining == load_recipe("demo").pretraining


def test_changing_settings_leaves_the_given_ones_as_they_were() -> None:
    """Also groups within groups, and a group that the file doesn't have."""
    path = RECIPE_FOLDER / "demo.yaml"
    values, before = read_yaml(path), read_yaml(path)
    changes = ["task.training.epochs=7", "name=other", "prediction.mirroring=false"]
    changed = with_changes(values, changes, path)
    assert changed.stage("task").training.epochs == 7
    assert changed.name == "other"
    assert values == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("task", "can't be read; expected KEY=VALUE"),
        ("task.=1", "can't be read; expected KEY=VALUE"),
        (".task=1", "can't be read; expected KEY=VALUE"),
        ("task..epochs=1", "can't be read; expected KEY=VALUE"),
        ("name.first=1", "can't be applied: name is a value, not a group"),
        ("task.training.epochs=[1", "can't be read; expected a YAML value"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(change: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load_recipe("demo", [change])


def test_settings_that_contradict_each_other_are_named_without_the_whole_group() -> None:
    with pytest.raises(BadInput, match=r"settings of .*budget .*don't fit together: expected exactly one") as refusal:
        load_recipe("demo", ["task.training.budget={steps: 3, cpu_seconds: 4}"])
    assert "{" not in str(refusal.value)


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    """Sections 2.2 to 2.5 of the paper."""
    (tmp_path / "recipe.yaml").write_text("{name: x, structures: [bladder], task: {plan: {}, training: {}}}")
    recipe = load_recipe(tmp_path / "recipe.yaml", ["pretraining={plan: {}, training: {}}"])
    assert isinstance(recipe.pretraining, PretrainingStage)
    assert recipe.pretraining.training.learning_rate == 1e-4
    assert recipe.pretraining.training.epochs == 1000
    assert recipe.pretraining.training.mask_ratio == 0.6
    assert recipe.pretraining.validation == 0.15
    assert recipe.task is not None
    assert recipe.task.training.learning_rate == 5e-5
    assert recipe.task.training.epochs == 1000
    assert recipe.task.plan.preset == "L"
    assert recipe.task.plan.patch_size == (80, 160, 160)
    assert recipe.task.plan.batch_size == 2
    assert recipe.split.test == 0.2
    assert recipe.split.folds == 5


def test_the_pretraining_recipe_is_the_papers() -> None:
    """Sections 2.2, 2.4 and 2.5; the recipe changes no other default."""
    recipe = load_recipe("pretrain")
    assert recipe.task is recipe.supervised is None
    stage = recipe.stage("pretraining")
    assert stage.validation == 0.15
    plan, training = stage.plan, stage.training
    assert (plan.spacing, plan.normalisation) == ((1.5, 1.5, 1.5), "zscore")
    assert (plan.patch_size, plan.batch_size, plan.preset) == ((112, 128, 128), 24, "L")
    assert (training.epochs, training.steps_per_epoch, training.gradient_accumulation_steps) == (1000, None, 1)
    assert (training.learning_rate, training.warm_up_epochs) == (1e-4, 0)
    assert (training.mask_ratio, training.augmentation) == (0.6, "light")
    with pytest.raises(BadInput, match="no task stage"):
        recipe.stage("task")


def test_aliases_are_looked_for_next_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "names.yaml").write_text("bladder: [Blase]")
    text = "{name: x, structures: [bladder], aliases: names.yaml, task: {plan: {}, training: {}}}"
    (tmp_path / "recipe.yaml").write_text(text)
    assert load_recipe(tmp_path / "recipe.yaml").aliases == tmp_path / "names.yaml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "no settings"),
        ("name: [", "not YAML"),
        ("{name: x, structures: [], task: {plan: {}, training: {}}}", "structures"),
        ("{name: x, task: {plan: {}, training: {}}}", "task stage needs structures"),
        ("{name: x, structures: [bladder]}", "at least one of the stages"),
        ("{structures: [bladder], task: {plan: {}, training: {}}}", "name is missing"),
        ("{name: x, structures: [bladder], task: 3}", "task in .* is 3; expected a group of settings"),
        ("{name: x, structures: bladder}", "structures in .* is 'bladder'; expected a list"),
        ("{name: x, 5: y}", "has the key 5, which is not text"),
        ("{name: x, off: y}", "has the key False, which is not text"),
    ],
)
def test_a_damaged_recipe(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(BadInput, match=words):
        load_recipe(tmp_path / "recipe.yaml")


def test_a_recipe_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: x", encoding="utf-16")
    with pytest.raises(BadInput, match="is not UTF-8 text; save it as UTF-8"):
        load_recipe(tmp_path / "recipe.yaml")


def test_the_settings_of_a_run_are_no_recipe(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "task" / "recipe.yaml"
    run.parent.mkdir(parents=True)
    run.write_text("objective: segmentation\nsettings: {epochs: 3}\n")
    with pytest.raises(BadInput, match=r"settings of one training run, not a recipe.* recipe.yaml next to split.json"):
        load_recipe(run)
    save_recipe(load_recipe("smoke"), tmp_path / "recipe.yaml")
    (tmp_path / "split.json").touch()
    with pytest.raises(BadInput) as refused:
        load_recipe(run)
    assert str(refused.value).endswith(f"Give the recipe of its experiment, {tmp_path / 'recipe.yaml'}.")
    assert load_recipe(tmp_path / "recipe.yaml") == load_recipe("smoke")


def test_a_stage_that_is_left_out() -> None:
    with pytest.raises(BadInput, match="no supervised stage"):
        load_recipe("demo", ["supervised=null"]).stage("supervised")


def test_a_fold_that_is_not_there() -> None:
    with pytest.raises(BadInput, match="no fold 2"):
        Split(("a",), (("b",), ("c",)), 0).validation_patients(2)


def test_a_change_affects_one_stage_even_if_stages_share_settings_by_an_anchor() -> None:
    changed = load_recipe("smoke", ["task.training.epochs=9"])
    assert changed.task.training.epochs == 9
    assert changed.supervised is not None
    assert changed.supervised.training.epochs == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("structures=[bladder, bladder]", "each structure once"),
        ("prediction={mirrored_axes: [w]}", "mirrored_axes"),
        ("task.training.mirror_axes=[x, x]", "each axis once"),
        ("task.training.budget=7", "budget in .* is 7; expected a group of settings"),
        ("task.training.budget={cpu_seconds: 1, steps: 2}", "expected exactly one of cpu_seconds, steps and gpu_seco"),
        ("task.training.budget.steps=9999999999999999999999", r"expected a whole number below 2\^63"),
        ("task.training.seed=9999999999999999999999", r"expected a whole number below 2\^63"),
        ("split.test=-1", "expected a share from 0 to below 1, or a whole number of patients"),
        ("split.test=1.5", "expected a share from 0 to below 1, or a whole number of patients"),
        ("supervised.plan.patch_size=[16, 32]", r"supervised\.plan\.patch_size.* \(changed by --set\)"),
    ],
)
def test_a_change_that_does_not_fit(change: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        load_recipe("smoke", [change])


def test_prediction_mirrors_no_axis_that_training_does_not() -> None:
    """It is refused when the recipe is read, and not after the training."""
    asked = "prediction={mirrored_axes: [z, x]}"
    for axes in ("task.training.mirror_axes=[x]", "task.training.augmentation=none"):
        with pytest.raises(BadInput, match=r"prediction mirrors .*z.*, which training doesn't"):
            load_recipe("smoke", [asked, axes])
    assert load_recipe("smoke", [asked, "task.training.mirror_axes=[z, x]"]).prediction.mirrored_axes == ("z", "x")
    load_recipe("smoke", ["prediction={mirrored_axes: [z], mirroring: false}", "task.training.mirror_axes=[x]"])
    nnunet = ["pretraining=null", "supervised=null", "task=null", "nnunet={mirror_axes: [x]}"]
    with pytest.raises(BadInput, match="prediction mirrors z, which training doesn't"):
        load_recipe("smoke", [*nnunet, asked])


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("demo", ("x",)),
        ("small/cpu", ("x",)),
        ("small/gpu", ("x",)),
        ("real_small", ("x",)),
        ("task", ("z", "y", "x")),
    ],
)
def test_the_axes_that_the_task_stage_mirrors(name: str, axes: tuple[str, ...]) -> None:
    assert load_recipe(name).stage("task").training.mirror_axes == axes


def test_the_later_stages_recipes_are_the_papers() -> None:
    """Sections 2.2.2, 2.2.3, 2.3 and 2.5."""
    many, own = load_recipe("supervised").stage("supervised"), load_recipe("task").stage("task")
    assert many.validation == 0.2
    assert many.structures is None
    assert (many.plan.spacing, many.plan.normalisation) == ((1.5, 1.5, 1.5), "zscore")
    assert (many.plan.patch_size, own.plan.patch_size) == ((112, 128, 128), (80, 160, 160))
    assert (own.plan.spacing, own.plan.normalisation) == (None, "ct")
    for stage in (many, own):
        assert (stage.plan.batch_size, stage.plan.preset) == (2, "L")
        assert (stage.training.epochs, stage.training.learning_rate, stage.training.warm_up_epochs) == (1000, 5e-5, 0)
    task = load_recipe("task")
    assert (task.split.test, task.split.folds) == (0.2, 5)
    assert task.structures == ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")


def test_the_recipe_for_a_small_gpu_differs_from_the_papers_in_size_and_length_alone() -> None:
    small = load_recipe("small/gpu")
    for stage, paper in (("pretraining", "pretrain"), ("supervised", "supervised"), ("task", "task")):
        ours, theirs = small.stage(stage), load_recipe(paper).stage(stage)
        assert ours.plan.model_dump(exclude={"preset"}) == theirs.plan.model_dump(exclude={"preset"})
        assert ours.training.learning_rate == theirs.training.learning_rate
        assert ours.training.auto_micro_batch


def test_the_recipe_for_organs_at_risk_names_organs_of_a_public_archive() -> None:
    recipe = load_recipe("organs_at_risk")
    assert recipe.structures == ("bladder", "rectum", "uterus") and recipe.supervised is None
    assert load_recipe("organs_at_risk", ["structures=[bladder,rectum]"]).structures == ("bladder", "rectum")


def test_the_recipe_for_ten_structures_names_known_ones_and_their_nesting() -> None:
    recipe, names = load_recipe("ten_structures"), StructureNames.load()
    assert len(recipe.structures) == 10 and set(recipe.structures) <= set(names.entries)
    plan = recipe.stage("task").plan
    assert (plan.outputs, plan.nesting) == ("overlapping", ("gtv_res < hr_ctv < ir_ctv",))


PAPERS = {"pretrain": "pretraining", "supervised": "supervised", "task": "task"}
PAPERS_READING = {
    "weight_decay_on": "all",
    "freeze_idle_biases": False,
    "initialisation": "pytorch",
    "warm_up_share": 0,
    "crops": "anywhere",
    "foreground_rule": "each_patch",
    "supervise_coarsest": True,
}
PAPERS_OPTIMISER = {
    "optimiser": "adamw",
    "schedule": "cosine",
    "ema": None,
    "budget": None,
    "encoder_learning_rate": 1,
    "decoder_first_share": 0,
    "new_head_scale": 1,
    "new_head_learning_rate": 1,
}


def changed_settings(ours: Settings, theirs: Settings) -> set[str]:
    return {name for name in type(theirs).model_fields if getattr(ours, name) != getattr(theirs, name)}


@pytest.mark.parametrize(("name", "stage"), PAPERS.items())
def test_the_strong_recipes_deviate_from_the_papers_only_with_a_reason_beside_it(name: str, stage: str) -> None:
    """Size and length are the paper's. Above or behind each deviation is a comment, and sources have an identifier."""
    paper, strong = load_recipe(name).stage(stage), load_recipe(f"{name}_strong").stage(stage)
    assert changed_settings(strong.plan, paper.plan) <= {"normalisation", "ct_scaling"}
    changes = changed_settings(strong.training, paper.training)
    assert not changes & {
        "epochs",
        "steps_per_epoch",
        "augmentation",
        "mirror_axes",
        "batch_dice",
        "budget",
        "optimiser",
    }
    assert {"warm_up_share", "weight_decay", "weight_decay_on", "initialisation", "max_grad_norm"} <= changes
    lines = (RECIPE_FOLDER / f"{name}_strong.yaml").read_text().splitlines()
    for key in (*changes, "ct_scaling"):
        number, line = next((i, line) for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
        assert "#" in line or lines[number - 1].strip().startswith("#"), key
    assert len(set(re.findall(r"arXiv \d{4}\.\d{5}|doi 10\.[^ ,;)]+", "\n".join(lines)))) >= 3


def test_the_strong_recipes_give_a_voxel_the_same_value_in_every_stage() -> None:
    plans = [load_recipe(f"{name}_strong").stage(stage).plan for name, stage in PAPERS.items()]
    assert {plan.normalisation for plan in plans} == {"ct"}
    assert plans[0].ct_scaling is not None
    assert len({plan.ct_scaling for plan in plans}) == 1


@pytest.mark.parametrize(("name", "stage"), PAPERS.items())
def test_the_papers_recipes_keep_its_reading_and_the_small_ones_take_the_better_one(name: str, stage: str) -> None:
    paper = load_recipe(name).stage(stage).training
    read = {key: value for key, value in PAPERS_READING.items() if key in type(paper).model_fields}
    assert {key: getattr(paper, key) for key in read} == read
    assert all(getattr(paper, key, value) == value for key, value in PAPERS_OPTIMISER.items())
    for small in ("demo", "real_small", "small/cpu", "small/gpu"):
        ours = load_recipe(small).stage(stage).training
        assert all(getattr(ours, key) != value for key, value in read.items() if key != "initialisation"), small
        assert ours.warm_up_share == 0.05
        assert ours.initialisation == ("pytorch" if stage == "pretraining" else "he"), small
        if small != "small/gpu":
            assert ours.mirror_axes == ("x",), "short runs learn faster"
        if stage == "pretraining":
            assert ours.target_epsilon_hu == paper.target_epsilon_hu == 20


def test_an_experiment_from_before_a_setting_existed_is_as_it_was_begun(tmp_path: Path) -> None:
    save_recipe(load_recipe("smoke"), tmp_path / "now.yaml")
    values = yaml.safe_load((tmp_path / "now.yaml").read_text())
    for stage in PAPERS.values():
        for key in LEGACY_VALUES:
            values[stage]["training"].pop(key, None)
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(values))
    begun = load_run_recipe(tmp_path / "old.yaml")
    assert begun == load_recipe("smoke", ["pretraining.training.target_epsilon_hu=null"])
    assert load_run_recipe(tmp_path / "now.yaml") == load_recipe("smoke")


def group_settings(group: str) -> set[str]:
    """Return the names of the settings that a group of a recipe may hold."""
    kinds = {
        "training": (SegmentationSettings, PretrainingSettings, ProxyTaskSettings),
        "plan": (PlanSettings,),
        "nnunet": (NnUNetSettings,),
        "prediction": (PredictionSettings,),
    }[group]
    return {name for kind in kinds for name in kind.model_fields}


@pytest.mark.parametrize(("group", "former", "today"), [(*key, name) for key, name in RENAMED_SETTINGS.items()])
def test_a_former_key_names_the_one_of_today(group: str, former: str, today: str) -> None:
    assert today in group_settings(group)
    assert former not in group_settings(group)
    model = {"cut_out": "swin-unetr"}.get(former, "nnunet" if group == "nnunet" else "gynbtnet")
    stage = "pretraining" if former in ("recompute", "cut_out") else "task"
    key = f"{group}.{former}" if group in ("nnunet", "prediction") else f"{stage}.{group}.{former}"
    with pytest.raises(BadInput, match=rf"{re.escape(key)} in .* is now called {today}; rename it\."):
        load_variant(model, load_recipe("demo"), [f"{key}=1"])


def test_an_experiment_begun_with_former_keys_goes_on(tmp_path: Path) -> None:
    save_recipe(load_recipe("smoke"), tmp_path / "now.yaml")
    values = yaml.safe_load((tmp_path / "now.yaml").read_text())
    for (group, former), today in RENAMED_SETTINGS.items():
        for holder in (values, *(values[stage] for stage in PAPERS.values())):
            if isinstance(holder.get(group), dict) and today in holder[group]:
                holder[group][former] = holder[group].pop(today)
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(values))
    assert "clip:" in (tmp_path / "old.yaml").read_text()
    assert load_run_recipe(tmp_path / "old.yaml") == load_recipe("smoke")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("task.plan.batch_size=1000000000000", "batch_size is a whole number from 1 to 4096"),
        ("task.plan.patch_size=[1000000000000, 16, 16]", "more than the 2.68e\\+08 allowed"),
        ("structures=['']", "names of 1 to 200 printable characters"),
        ('structures=["a\\nb"]', "names of 1 to 200 printable characters"),
        (f"structures=[{'x' * 201}]", "names of 1 to 200 printable characters"),
        (f"structures={list(map(str, range(1025)))}", "expected at most 1024 structures"),
    ],
)
def test_what_no_plan_can_hold_is_refused_before_scans_are_read(change: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        load_recipe("smoke", [change])


def test_both_ways_to_say_a_warm_up_are_one_too_many() -> None:
    with pytest.raises(BadInput, match="exclude each other"):
        load_recipe("smoke", ["task.training.warm_up_share=0.1", "task.training.warm_up_epochs=1"])


def test_priority_names_structures_of_the_recipe() -> None:
    assert load_recipe("demo", ["priority=[uterus, bladder]"]).priority == ("uterus", "bladder")
    for wrong in ("[spleen]", "[uterus, uterus]"):
        with pytest.raises(BadInput, match=r"priority is .*; expected some of the structures, each once"):
            load_recipe("demo", [f"priority={wrong}"])
