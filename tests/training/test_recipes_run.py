"""Two steps of every stage of every recipe that ships, with a small network on small scans."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from gynbtnet.preparation import PreparedCohort
from gynbtnet.recipes import load_recipe, shipped_recipes
from gynbtnet.training.run_folder import RunFolder
from gynbtnet.training.stages import finetune, pretrain

STAGES = [
    (name, stage)
    for name in shipped_recipes()
    if name != "paper"  # its stages are those of pretrain, supervised and task
    for stage in ("pretraining", "supervised", "task")
    if getattr(load_recipe(name), stage)
]
SHRUNKEN = {
    "epochs": 1,
    "steps_per_epoch": 2,
    "validation_patches": 1,
    "workers": 0,
    "devices": 1,
    "accelerator": "cpu",
    "precision": "32-true",
}


QUICK = ("demo", "pretrain", "supervised", "task")
"""Recipes whose stages are trained by the quick tests."""


def test_there_is_a_recipe_for_each_stage_and_each_size() -> None:
    assert {"pretrain", "supervised", "task", "small/gpu", "small/cpu"} <= set(shipped_recipes())


@pytest.mark.parametrize(
    ("name", "stage"),
    [pytest.param(*pair, marks=() if pair[0] in QUICK else pytest.mark.slow) for pair in STAGES],
)
def test_two_steps(prepared: PreparedCohort, tmp_path: Path, name: str, stage: str) -> None:
    recipe = load_recipe(name).stage(stage)
    batch_size = min(recipe.plan.batch_size, 2)
    scans = replace(prepared, plan=replace(prepared.plan, batch_size=batch_size))
    settings = recipe.training.model_copy(update=SHRUNKEN)
    train = pretrain if stage == "pretraining" else finetune
    run = train(scans, settings, tmp_path / "run", training_ids=["ball_0", "ball_1"], validation_ids=["ball_2"])
    assert RunFolder(run).last_weights.is_file()
    with RunFolder(run).log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2"]
    assert float(rows[0]["loss"]) > 0
