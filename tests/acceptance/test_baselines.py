"""One command trains GynBTNet and its baselines on one cohort, and leaves predictions in one layout."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pydicom
import pytest

from gynbtnet.datasets import Cohort, Split
from gynbtnet.evaluation import Evaluation
from gynbtnet.imaging import read_volume
from gynbtnet.phantom import cohorts
from gynbtnet.recipes import load_recipe

SMALL: dict[str, Any] = {"spacing": (6.0, 5.0, 5.0), "matrix": (24, 48, 56), "seed": 7}
SCRATCH = ["pretraining=null", "supervised=null"]
QUICK = ["task.training.epochs=1", "task.training.steps_per_epoch=1", "task.training.validation_patches=1"]
SWIN = ["plan.preset=F12", "plan.patch_size=[40,32,32]", "plan.batch_size=2"]
NNUNET = ["epochs=1", "steps_per_epoch=1", "validation_steps=1", "workers=0"]


def changes(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    cohorts.write_brachytherapy(folder / "brachytherapy", patients=3, fractions=1, **SMALL)
    return folder


def files(folder: Path) -> dict[str, int]:
    """Every file and when it was written; what a look at a prepared folder or a recipe writes again is left out."""
    kept = ("models", "predictions", "evaluations")
    paths = [path for name in kept for path in (folder / name).rglob("*") if path.is_file()]
    again = {"recipe.yaml", "evaluation.json", "scores.csv", "summary.csv", "summary.json", "summary.md"}
    return {
        str(path): path.stat().st_mtime_ns
        for path in paths
        if path.name not in again and not {"plans", "prepared"}.intersection(path.parts) and path.parent.name != "task"
    }


def check_layout(out: Path, models: list[str]) -> None:
    """Check for each model the files that a comparison needs: recipe, predictions and scores of the same cases."""
    assert sorted(path.name for path in (out / "models").iterdir()) == sorted(models)
    split, cohort = Split.load(out / "split.json"), Cohort.load(out / "cohorts" / "task")
    test = cohort.of_patients(split.test)
    assert len(test.cases) == 1
    for model in models:
        assert load_recipe(out / "models" / model / "recipe.yaml").name == model
        assert (out / "models" / model / "task" / "fold_0" / "weights_last.safetensors").is_file()
        assert sorted(path.name for path in (out / "predictions" / model).iterdir()) == [case.id for case in test.cases]
        for case in test.cases:
            folder = out / "predictions" / model / case.id
            written = ["RS.dcm", "labels.nii.gz", "patient.html", "prediction.json", "preview.png"]
            assert sorted(path.name for path in folder.iterdir()) == written
            assert read_volume(folder / "labels.nii.gz").geometry.is_same(case.geometry)
            manifest = json.loads((folder / "prediction.json").read_text())
            assert manifest["structures"] == list(cohort.structures)
            assert "SYNTHETIC" in pydicom.dcmread(folder / "RS.dcm").SeriesDescription
        scores = Evaluation.load(out / "evaluations" / model).scores
        assert {score.case for score in scores} == {case.id for case in test.cases}


@pytest.mark.slow
def test_two_models_on_one_split_and_again(gynbtnet: Callable, phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "larger-patches.yaml").write_text("task: {plan: {patch_size: [16, 32, 48], batch_size: 1}}")
    arguments = ["smoke", "--cohort", phantom / "brachytherapy", "--out", tmp_path / "out"]
    arguments += ["--model", "gynbtnet-from-scratch", "--model", tmp_path / "larger-patches.yaml"]
    arguments += changes(*SCRATCH, *QUICK)
    result = gynbtnet("benchmark", *arguments)
    assert result.code == 0, result.err
    check_layout(tmp_path / "out", ["gynbtnet-from-scratch", "larger-patches"])
    assert (tmp_path / "out" / "prepared" / "task" / "prepared.json").is_file()
    assert (tmp_path / "out" / "models" / "larger-patches" / "prepared" / "task" / "prepared.json").is_file()
    result = gynbtnet("compare", tmp_path / "out", "--out", tmp_path / "tables", "--ours", "larger-patches")
    assert result.code == 0, result.err
    assert "larger-patches with pretraining and, as gynbtnet-from-scratch" in " ".join(result.out.split())
    before = files(tmp_path / "out")
    assert gynbtnet("benchmark", *arguments).code == 0
    assert files(tmp_path / "out") == before
    result = gynbtnet("benchmark", *arguments, "--set", "gynbtnet-from-scratch:task.training.learning_rate=1")
    assert result.code == 2
    assert "was made with settings.learning_rate" in " ".join(result.err.split())


@pytest.mark.slow
def test_models_of_an_ordinary_recipe_are_compared(gynbtnet: Callable, phantom: Path, tmp_path: Path) -> None:
    arguments = ["smoke", "--cohort", phantom / "brachytherapy", "--out", tmp_path / "out", "--compare"]
    arguments += ["--model", "gynbtnet-from-scratch", *changes(*SCRATCH, *QUICK, "prediction.preview=false")]
    result = gynbtnet("benchmark", *arguments)
    assert result.code == 0, result.err
    assert (tmp_path / "out" / "results.md").is_file()
    folds = Split.load(tmp_path / "out" / "split.json").folds
    models = tmp_path / "out" / "models" / "gynbtnet-from-scratch" / "task"
    assert sorted(path.name for path in models.glob("fold_*")) == [f"fold_{fold}" for fold in range(len(folds))]


def test_models_that_cannot_be_compared(gynbtnet: Callable, tmp_path: Path) -> None:
    for arguments, words in (
        ([tmp_path], "is not a folder with scored models"),
        ([f"a={tmp_path}"], "--cohort is missing"),
        (["a=", "--cohort", tmp_path], "MODEL a= is not NAME=FOLDER"),
        ([f"a={tmp_path}", f"a={tmp_path}", "--cohort", tmp_path], "Two models are called a"),
        ([f"a={tmp_path}", "--metric", "dice", "--cohort", tmp_path], "The metrics dice can't be compared"),
        ([f"a={tmp_path}", "--predictions", "b", "--cohort", tmp_path], "cohort"),
    ):
        result = gynbtnet("compare", *arguments, "--out", tmp_path / "out")
        assert result.code == 2
        assert words in " ".join(result.err.split())
        assert not (tmp_path / "out").exists()


def test_what_a_model_may_not_change(gynbtnet: Callable, phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("split: {seed: 3}")
    arguments = ["smoke", "--cohort", phantom / "brachytherapy", "--out", tmp_path / "out", "--model"]
    result = gynbtnet("benchmark", *arguments, tmp_path / "other.yaml", *changes("supervised=null"))
    assert result.code == 2
    assert "The model other changes split" in " ".join(result.err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_all_four_in_all_stages(gynbtnet: Callable, phantom: Path, tmp_path: Path) -> None:
    absent = [name for name in ("monai", "einops", "nnunetv2") if not find_spec(name)]
    if absent:
        pytest.skip(f"the baselines need {', '.join(absent)}: the extras gynbtnet[baselines,nnunet]")
    cohorts.write_unlabelled(phantom / "unlabelled", scans=2, **SMALL)
    cohorts.write_organs(phantom / "organs", scans=2, **SMALL)
    stages = ("pretraining", "supervised", "task")
    result = gynbtnet(
        "benchmark",
        "smoke",
        *("--cohort", phantom / "brachytherapy", "--unlabelled", phantom / "unlabelled"),
        *("--supervised", phantom / "organs", "--out", tmp_path / "out"),
        *changes(*(f"{stage}.training.{setting}" for stage in stages for setting in ("epochs=1", "steps_per_epoch=1"))),
        *changes(*(f"swin-unetr:{stage}.{setting}" for stage in stages for setting in SWIN)),
        *changes(*(f"nnunet:nnunet.{setting}" for setting in NNUNET)),
    )
    assert result.code == 0, result.err
    check_layout(tmp_path / "out", ["gynbtnet", "gynbtnet-from-scratch", "swin-unetr", "nnunet"])
    for model in ("gynbtnet", "swin-unetr"):
        for stage, parts in (("supervised", "encoder"), ("task/fold_0", "all_but_heads")):
            report = json.loads((tmp_path / "out" / "models" / model / stage / "transfer.json").read_text())
            assert (report["parts"], report["share"]) == (parts, 1.0)
    assert not list((tmp_path / "out" / "models" / "gynbtnet-from-scratch").rglob("transfer.json"))
