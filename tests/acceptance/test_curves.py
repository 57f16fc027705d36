"""Learning curves by one command: several processes, killed and called again, drawn again from the tables."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from gynbtnet.datasets import Cohort, Split

TINY = """
name: tiny
phantom: {patients: 8, fractions: 1, unlabelled: 0, organs: 2, spacing: [6, 5, 5], matrix: [24, 48, 56], seed: 7}
curves: {unit: steps, budgets: [1, 2], seeds: 2, patients: [2], draws: 2, reference: pretrained, n_resamples: 200}
recipe:
  - smoke
  - split: {test: 2, folds: 3}
    pretraining: {training: &short {epochs: 1, steps_per_epoch: 1, validation_patches: 1, picture_interval_epochs: 9}}
    supervised: {training: *short}
    task: {training: *short}
    prediction: {outputs: [nifti], preview: false}
models:
  from-scratch:
    candidates: &rates
      low: {task: {training: {learning_rate: 1.0e-3}}}
      high: {task: {training: {learning_rate: 1.0e-2}}}
    few_patients: false
  pretrained:
    stages: [supervised]
    candidates: {only: {}}
"""
RUNS = {"from-scratch": 2 + 2 * 2, "pretrained": 2 * 2 + 2}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return path


def started(recipe: Path, out: Path, *arguments: str) -> subprocess.Popen[bytes]:
    code = "from gynbtnet.cli import main; main()"
    words = [sys.executable, "-c", code, "benchmark", str(recipe), "--out", str(out), *arguments]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_after(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def without_times(out: Path) -> pd.DataFrame:
    points = pd.read_csv(out / "points.csv")
    return points.drop(columns=["cpu_seconds", "earlier_cpu_seconds"])


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_end_as_one_process(
    gynbtnet: Callable, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = started(recipe, out)
    killed_after(out / "runs" / "points" / "from-scratch" / "patients-all_budget-1_seed-0" / "run", first)
    second, third = started(recipe, out), started(recipe, out)
    assert (second.wait(), third.wait()) == (0, 0)
    assert gynbtnet("benchmark", recipe, "--out", tmp_path / "alone").code == 0
    pd.testing.assert_frame_equal(without_times(out), without_times(tmp_path / "alone"))
    assert (out / "scores.csv").read_bytes() == (tmp_path / "alone" / "scores.csv").read_bytes()
    check_runs(out)
    page = (out / "results.md").read_bytes()
    (out / "curves.png").unlink()
    assert gynbtnet("report", out).code == 0
    assert (out / "curves.png").is_file()
    assert (out / "results.md").read_bytes() == page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["curves", "--compare"], "Learning curves take neither --every-fold nor --compare"),
        (["curves", "--set", "gynbtnet:task.training.epochs=1"], "nor --set for one model"),
        (["curves", "--model", "unet"], "There is no model unet in the curves; expected some of gynbtnet-from-scratch"),
        (["curves-sts"], "have no phantom; name the scans to learn from with --cohort"),
        (["minutes", "--stop-after", "3"], "--stop-after and --finished are for learning curves"),
    ],
)
def test_what_does_not_fit(gynbtnet: Callable, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = gynbtnet("benchmark", *arguments, "--out", tmp_path / "out")
    assert result.code == 2
    assert words in " ".join(result.err.split())


def check_runs(out: Path) -> None:
    """Check patients, budgets and choices of all runs."""
    points, split = pd.read_csv(out / "points.csv"), Split.load(out / "split.json")
    assert points["model"].value_counts().to_dict() == RUNS
    learning, choosing = set(split.training_patients(0)), set(split.folds[0])
    scores = pd.read_csv(out / "scores.csv")
    for row in points.to_dict("records"):
        trial = json.loads((out / "runs" / str(row["run"]) / "trial.json").read_text())
        assert set(trial["training_patients"]) <= learning
        assert (len(trial["training_patients"]), row["steps"]) == (row["patients"], row["budget"])
        scored = set(split.test) if row["kind"] == "point" else choosing
        assert set(scores.loc[scores["run"] == row["run"], "patient"]) == scored
        assert (trial["seed"], trial["model"]) == (row["seed"], row["model"])
        assert (row["earlier_steps"] > 0) == (row["model"] == "pretrained")
    search = points[(points["kind"] == "search") & (points["model"] == "from-scratch")].set_index("candidate")
    best = search["mean_dsc"].idxmax()
    chosen = points[(points["kind"] == "point") & (points["model"] == "from-scratch")]
    assert set(chosen["candidate"]) == {best}
    assert Cohort.load(out / "cohorts" / "task").synthetic
