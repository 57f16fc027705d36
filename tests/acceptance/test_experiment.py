"""One command trains several models on every fold of a cohort and compares them, killed at any moment or not."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from gynbtnet.datasets import Cohort, Split
from gynbtnet.evaluation import Evaluation
from gynbtnet.experiment import CrossValidation
from gynbtnet.runtime import sha256_of

TINY = """
name: tiny
description: Next to nothing.
phantom: {patients: 4, fractions: 1, unlabelled: 0, organs: 2, spacing: [6, 5, 5], matrix: [24, 48, 56], seed: 7}
recipe:
  - smoke
  - split: {test: 1, folds: 2}
    pretraining: {training: &short {epochs: 1, steps_per_epoch: 1, validation_patches: 1}}
    supervised: {training: *short}
    task: {training: *short}
models:
  gynbtnet:
  gynbtnet-from-scratch:
  swin-unetr:
    pretraining: {plan: &small {preset: F12, patch_size: [40, 32, 32]}}
    supervised: {plan: *small}
    task: {plan: *small}
  nnunet: {nnunet: {epochs: 1, steps_per_epoch: 1, validation_steps: 1, workers: 0}}
"""
QUICK = ["--set", "supervised=null", "--model", "gynbtnet", "--model", "gynbtnet-from-scratch"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return path


def started(recipe: Path, out: Path, *arguments: str) -> subprocess.Popen[bytes]:
    code = "from gynbtnet.cli import main; main()"
    words = [sys.executable, "-c", code, "benchmark", str(recipe), "--out", str(out), *arguments]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def killed(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment that is killed in the second fold of its first model."""
    out = tmp_path_factory.mktemp("experiment") / "killed"
    process = started(recipe, out, *QUICK)
    mark, deadline = out / "models" / "gynbtnet" / "task" / "fold_1", time.monotonic() + 120
    while not mark.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return out


def scores_and_weights(out: Path) -> dict[str, bytes]:
    """Scores, and the weights behind them."""
    files = [*out.rglob("scores.csv"), *out.rglob("weights_*.safetensors")]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def check_models(out: Path, models: list[str]) -> None:
    """Test patients contoured by the folds together, the others by the fold that hasn't seen them, all compared."""
    split, cohort = Split.load(out / "split.json"), Cohort.load(out / "cohorts" / "task")
    assert (len(split.test), len(split.folds), len(cohort.patients)) == (1, 2, 4)
    for model in models:
        folds = CrossValidation(out / "models" / model / "task")
        weights = [folds.fold(number) / "weights_last.safetensors" for number in range(2)]
        for number, patients in enumerate(split.folds):
            for case in cohort.of_patients(patients).cases:
                manifest = json.loads((folds.predictions / case.id / "prediction.json").read_text())
                assert manifest["model"]["sha256"] == sha256_of(weights[number])
        for case in cohort.of_patients(split.test).cases:
            manifest = json.loads((out / "predictions" / model / case.id / "prediction.json").read_text())
            assert manifest["model"]["name"] == "task"
            assert manifest["model"]["sha256"] not in {sha256_of(path) for path in weights}
        for evaluation, patients in (
            (out / "evaluations" / model, split.test),
            (folds.evaluation, sum(split.folds, ())),
        ):
            assert {score.patient for score in Evaluation.load(evaluation).scores} == set(patients)
    for part, cases in (("test", 1), ("folds", 3)):
        folder = out / "comparisons" / part
        assert json.loads((folder / "comparison.json").read_text())["models"] == models
        assert "Synthetic data" in (folder / "report.html").read_text()
        table = pd.read_csv(folder / "table_2.csv")
        assert set(table["cases"]) == {cases}
        for model in models[:2]:  # the table's metrics equal those of the model's own evaluation
            folder_of_model = out / ("evaluations" if part == "test" else "models") / model
            summary = pd.read_csv(
                (folder_of_model if part == "test" else folder_of_model / "task" / "evaluation") / "summary.csv"
            )
            own = table[table["model"] == model].set_index("structure")["dsc_mean"]
            pd.testing.assert_series_equal(
                own, summary.set_index("structure")["dsc_mean"][own.index], check_exact=False, atol=1e-6
            )
    page = (out / "results.md").read_text()
    assert page.startswith("**Synthetic data.")
    assert all(f"| {model} |" in page for model in models)
    assert "are transductive" in page


@pytest.mark.slow
def test_killed_and_called_again_it_ends_as_if_nothing_had_been(
    gynbtnet: Callable, recipe: Path, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (killed / "results.md").exists()
    result = gynbtnet("benchmark", recipe, "--out", killed, *QUICK)
    assert result.code == 0, result.err
    check_models(killed, ["gynbtnet", "gynbtnet-from-scratch"])
    uninterrupted = tmp_path / "uninterrupted"
    monkeypatch.setattr(
        "gynbtnet.experiment.paper_experiment.write_results", lambda *arguments: arguments[-1]
    )  # drawing takes most of the time
    assert gynbtnet("benchmark", recipe, "--out", uninterrupted, *QUICK).code == 0
    assert len(scores_and_weights(uninterrupted)) == 4 + 2 * 5  # per model: scores twice, last and best weights
    assert {
        name: digest for name, digest in scores_and_weights(killed).items() if name in scores_and_weights(uninterrupted)
    } == scores_and_weights(uninterrupted)
    result = gynbtnet("benchmark", recipe, "--out", killed, *QUICK, "--set", "phantom.seed=8")
    assert result.code == 2
    assert "holds a phantom of other settings" in " ".join(result.err.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sts"], "has no phantom; name the scans to learn from with --cohort"),
        (["minutes", "--unlabelled", "."], "--unlabelled, --supervised, --rtstruct and --split need --cohort"),
        (["minutes", "--cohort", "nowhere"], "There is no folder nowhere"),
        (["days"], "There is no recipe days; expected a YAML file or a shipped recipe: gpu, hours, minutes, sts with"),
        (["smoke"], "--cohort is missing: the recipe smoke brings no phantom"),
        (["minutes", "--model", "unet"], "There is no model unet"),
        (["minutes", "--set", "unet:task.training.epochs=1"], "There is no model unet"),
    ],
)
def test_what_does_not_fit(gynbtnet: Callable, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = gynbtnet("benchmark", *arguments, "--out", tmp_path / "out")
    assert result.code == 2
    assert words in " ".join(result.err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_all_four_in_all_stages(gynbtnet: Callable, recipe: Path, tmp_path: Path) -> None:
    absent = [name for name in ("monai", "einops", "nnunetv2") if not find_spec(name)]
    if absent:
        pytest.skip(f"the baselines need {', '.join(absent)}: the extras gynbtnet[baselines,nnunet]")
    result = gynbtnet("benchmark", recipe, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    check_models(tmp_path / "out", ["gynbtnet", "gynbtnet-from-scratch", "swin-unetr", "nnunet"])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["sts", "hours"])
def test_real_scans_are_not_called_synthetic(gynbtnet: Callable, real_data: Path, tmp_path: Path, recipe: str) -> None:
    cohort = tmp_path / "sts"
    cohort.mkdir()
    for folder in sorted((real_data / "sts").glob("STS_*"))[:3]:
        (cohort / folder.name).symlink_to(folder)
    short = ["task.training.budget={steps: 1}", "task.training.validation_patches=1"]
    few = ["pretraining=null", "supervised=null", "split.test=1", "split.folds=2", "task.plan.spacing=[8, 8, 8]"]
    few.append("prediction.preview=false")
    changes = [word for change in (*short, *few, "structures=[GTV_Mass_CT]") for word in ("--set", change)]
    arguments = ["--cohort", cohort, "--out", tmp_path / "out", "--model", "gynbtnet", *changes]
    result = gynbtnet("benchmark", recipe, *arguments)
    assert result.code == 0, result.err
    page = (tmp_path / "out" / "results.md").read_text()
    assert "ynthetic" not in page
    assert "phantom" not in page
    assert "transductive" not in page
    assert ("Vallières" in page) == (recipe == "sts")
    assert "| GTV_Mass_CT |" in page
