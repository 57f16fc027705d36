"""A command stopped by Ctrl-C, a kill or a full disk leaves no incomplete file, and continues when called again."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gynbtnet.datasets import Cohort
from gynbtnet.phantom import write_brachytherapy

RECIPE = ["--set", "supervised=null", "--set", "task.training.epochs=3", "--set", "task.training.steps_per_epoch=4"]

# A process that was started in the background ignores Ctrl-C, and so do its children.
RUN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from gynbtnet.cli import main; main()"


def command(export: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-c", RUN),
        *("run", "smoke", "--cohort", str(export), "--out", str(out), *RECIPE),
    ]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_brachytherapy(folder, patients=4, fractions=1, spacing=(6, 5, 5), matrix=(32, 64, 80), seed=3)
    return folder


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


@pytest.mark.slow
def test_stopped_in_every_step_it_ends_with_the_same_weights(export: Path, tmp_path: Path) -> None:
    uninterrupted = tmp_path / "uninterrupted"
    subprocess.run(command(export, uninterrupted), check=True, capture_output=True)

    stopped = tmp_path / "stopped"
    marks = [
        "cohorts/task/imagesTr",
        "cohorts/pretraining/imagesTr",
        "prepared/pretraining/prepared.json",
        "runs/pretraining/log.csv",
        "prepared/task",
        "runs/task/log.csv",
        "predictions/test",
        "evaluation",
    ]
    for mark in marks:
        process = subprocess.Popen(command(export, stopped), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(stopped / mark, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130, (mark, err)
        assert "Traceback" not in err
        assert err.strip().splitlines()[-1].startswith("gynbtnet: Stopped."), mark
        assert not list(stopped.rglob(".partial-*"))
        assert not (stopped / "report.html").exists()
    subprocess.run(command(export, stopped), check=True, capture_output=True)

    for stage in ("pretraining", "task"):
        weights = f"runs/{stage}/weights_last.safetensors"
        assert (stopped / weights).read_bytes() == (uninterrupted / weights).read_bytes()
    assert (stopped / "evaluation/scores.csv").read_bytes() == (uninterrupted / "evaluation/scores.csv").read_bytes()


@pytest.mark.slow
def test_ctrl_c_while_ingesting(export: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(export, tmp_path / "out"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(tmp_path / "out" / "cohorts" / "task", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.strip().splitlines()[-1].startswith("gynbtnet: Stopped.")


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A disk of 300 kB. Mounting one needs rights that a user doesn't have."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can't be mounted here without root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk(gynbtnet, export: Path, tiny_disk: Path) -> None:
    cohort = tiny_disk / "cohort"
    result = gynbtnet("ingest", export, "--out", cohort, "--structures", "hr_ctv,bladder")
    assert result.code == 2, result
    assert result.err.strip().splitlines()[-1].startswith("gynbtnet: The disk is full")
    assert not (cohort / "cohort.json").exists()


def test_a_full_disk_while_the_model_is_written(gynbtnet, export: Path, tiny_disk: Path, tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    assert gynbtnet("ingest", export, "--out", cohort, "--structures", "hr_ctv,bladder").code == 0
    assert len(Cohort.load(cohort).cases) == 4
    change = ["--set", "structures=[hr_ctv, bladder]"]
    assert gynbtnet("plan", cohort, "smoke", "--stage", "task", "--out", tmp_path / "plan", *change).code == 0
    assert gynbtnet("prepare", cohort, tmp_path / "plan", "--out", tmp_path / "prepared").code == 0
    assert gynbtnet("split", cohort, "--test", "1", "--folds", "2", "--out", tmp_path / "split.json").code == 0
    run = tiny_disk / "run"
    result = gynbtnet(
        *("finetune", tmp_path / "prepared", "smoke", "--stage", "task", "--split", tmp_path / "split.json"),
        *("--out", run, *change),
    )
    assert result.code == 2, result
    assert result.err.strip().splitlines()[-1].startswith("gynbtnet: The disk is full")
    assert not list(run.glob("*.safetensors"))
