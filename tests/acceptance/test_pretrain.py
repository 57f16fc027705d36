"""Stage 1 alone, on folders of scans and on prepared scans, in one process and in two."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from gynbtnet.datasets import Cohort
from gynbtnet.phantom import write_unlabelled

WEIGHTS = "weights_last.safetensors"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two DICOM series and two NIfTI files, in two folders."""
    folder = tmp_path_factory.mktemp("scans")
    for name, seed in (("one", 1), ("other", 2)):
        write_unlabelled(folder / name, scans=2, spacing=(6, 5, 5), matrix=(32, 64, 80), seed=seed)
    (folder / "other" / "scan-0002.nii.gz").rename(folder / "other" / "ct-of-another.nii.gz")
    return folder


@pytest.mark.slow
def test_scans_as_they_come_are_trained_on_as_prepared_ones(gynbtnet, scans: Path, tmp_path: Path) -> None:
    sources = (scans / "one", scans / "other")
    run = tmp_path / "run"
    for _ in range(2):  # the second call finds everything done
        result = gynbtnet("pretrain", *sources, "smoke", "--out", run)
        assert result.code == 0, result.err
    assert len(Cohort.load(run / "scans" / "cohort").cases) == 4
    for arguments in (
        ("ingest", *sources, "--layout", "scans", "--out", tmp_path / "cohort"),
        ("plan", tmp_path / "cohort", "smoke", "--stage", "pretraining", "--out", tmp_path / "plan"),
        ("prepare", tmp_path / "cohort", tmp_path / "plan", "--out", tmp_path / "prepared"),
        ("pretrain", tmp_path / "prepared", "smoke", "--out", tmp_path / "again"),
    ):
        assert gynbtnet(*arguments).code == 0
    assert (run / WEIGHTS).read_bytes() == (tmp_path / "again" / WEIGHTS).read_bytes()
    mixed = gynbtnet("pretrain", tmp_path / "prepared", scans / "one", "smoke", "--out", tmp_path / "mixed")
    assert mixed.code == 2
    assert "given with 1 other folder; give the prepared folder alone" in mixed.err
    assert not (tmp_path / "mixed").exists()


@pytest.mark.slow
def test_two_processes_in_single_precision(gynbtnet, scans: Path, tmp_path: Path) -> None:
    """The first of two processes ingests, prepares and prints, and the result equals that of one process."""
    script = tmp_path / "gynbtnet"
    script.write_text("from gynbtnet.cli import main; main()")
    one_step = [*("--set", "pretraining.training.epochs=1"), *("--set", "pretraining.training.steps_per_epoch=1")]
    two = ["--set", "pretraining.training.devices=2"]
    result = subprocess.run(
        [sys.executable, script, "pretrain", scans / "one", "smoke", "--out", tmp_path / "two", *one_step, *two],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Weights in") == 1
    assert result.stderr.count("Preparing") == result.stderr.count("Pretraining") == 1
    assert "bucket" not in result.stderr, "torch warns of gradients that don't lie as DDP's buckets do"
    assert gynbtnet("pretrain", scans / "one", "smoke", "--out", tmp_path / "one", *one_step).code == 0
    assert logged_loss(tmp_path / "two") == pytest.approx(logged_loss(tmp_path / "one"), rel=1e-5)


def logged_loss(run: Path) -> float:
    with (run / "log.csv").open(newline="") as file:
        return float(next(csv.DictReader(file))["loss"])


def test_folders_without_a_ct_are_refused(gynbtnet, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = gynbtnet("pretrain", tmp_path / "empty", "smoke", "--out", tmp_path / "run")
    assert result.code == 2
    assert "no CT below" in result.err


def test_a_recipe_of_stage_1_alone_runs_no_experiment(gynbtnet, scans: Path, tmp_path: Path) -> None:
    result = gynbtnet("run", "pretrain", "--cohort", scans, "--out", tmp_path / "experiment")
    assert result.code == 2
    assert "no task stage" in result.err


def test_an_experiment_on_several_devices_is_refused(gynbtnet, scans: Path, tmp_path: Path) -> None:
    changes = ("--set", "pretraining.training.devices=2", "--set", "supervised=null")
    result = gynbtnet("run", "smoke", "--cohort", scans, "--out", tmp_path / "experiment", *changes)
    assert result.code == 2
    assert "one by one" in result.err
