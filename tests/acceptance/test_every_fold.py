"""`gynbtnet run --every-fold` ends in a calibrated ensemble with post-processing, and a report of it."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from gynbtnet.datasets import Split
from gynbtnet.inference import Ensemble, load_model

PHANTOM = "phantom phantom --kind brachytherapy --patients 11 --fractions 1 --spacing 6 5 5 --matrix 24 48 56"
SMALL = (
    "--set pretraining=null --set supervised=null --set task.training.epochs=1 --set task.training.steps_per_epoch=1 "
    "--set task.training.validation_patches=1"
)


@pytest.mark.slow
def test_a_run_on_every_fold(gynbtnet: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert gynbtnet(*shlex.split(PHANTOM)).code == 0
    run = shlex.split(f"run smoke --cohort phantom/brachytherapy --out experiment {SMALL}")
    experiment = tmp_path / "experiment"
    folder = experiment / "runs" / "task"
    single = gynbtnet(*run)
    assert single.code == 0, single.err
    assert single.out.splitlines()[-1] == "The model is not calibrated, so it predicts no DSC: add --every-fold"
    refused = gynbtnet(*run, "--every-fold")
    assert (refused.code, "was trained on one fold. Move it" in " ".join(refused.err.split())) == (2, True)
    folder.rename(experiment / "one_fold")
    result = gynbtnet(*run, "--every-fold")
    assert result.code == 0, result.err
    assert "not calibrated" not in result.out
    model = load_model(folder)
    assert isinstance(model, Ensemble)
    assert len(list(folder.glob("fold_*/weights_last.safetensors"))) == 2
    assert (folder / "quality.json").is_file()
    assert (folder / "postprocessing.csv").is_file()
    (patient,) = Split.load(experiment / "split.json").test
    manifest = json.loads((experiment / "predictions" / "test" / f"{patient}_f1" / "prediction.json").read_text())
    assert any(predicted is not None for predicted in manifest["predicted_dsc"].values())
    page = (experiment / "report.html").read_text()
    assert "own structures, fold 1" in page
    claim = (experiment / "claim.md").read_text()
    assert "mean of 2 networks, one per fold" in claim
    assert "runs/task/fold_0/recipe.yaml" in claim
    weights = {path: path.stat().st_mtime_ns for path in folder.rglob("weights_last.safetensors")}
    assert gynbtnet(*run, "--every-fold").code == 0  # nothing is trained again
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("weights_last.safetensors")} == weights
