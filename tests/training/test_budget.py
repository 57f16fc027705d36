"""Runs with a budget: their length, learning rates and costs, also if they are killed and resumed."""

import csv
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gynbtnet.preparation import PreparedCohort
from gynbtnet.runtime import BadInput, Paused
from gynbtnet.training import checkpoint, stages
from gynbtnet.training.budget import Budget
from gynbtnet.training.context import TrainingContext
from gynbtnet.training.cost.cost_meter import ClockTimes, ProcessClock
from gynbtnet.training.cost.run_cost import TrainingCost, training_cost
from gynbtnet.training.data.augmentation import Augmentation
from gynbtnet.training.optimisation.schedule import scheduled_rate
from gynbtnet.training.run_folder import RunFolder
from gynbtnet.training.settings import PretrainingSettings, SegmentationSettings, TrainingSettings

QUICK: dict[str, Any] = {
    "epochs": 1,
    "steps_per_epoch": 2,
    "checkpoint_interval_epochs": 1,
    "validation_patches": 1,
    "learning_rate": 1e-3,
}
SIDES: dict[str, Any] = {"training_ids": ["ball_0", "ball_1"], "validation_ids": ["ball_2"]}


def train(prepared: PreparedCohort, out: Path, **changes: Any) -> Path:
    return stages.finetune(prepared, SegmentationSettings(**{**QUICK, **changes}), out, **SIDES)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def counting_clock() -> Iterator[ClockTimes]:
    return (ClockTimes(number, 0, number) for number in itertools.count(1))


@pytest.fixture
def one_second_per_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second of CPU time pass between two readings of the clock."""
    monkeypatch.setattr(stages, "TrainingContext", partial(TrainingContext, clock=counting_clock().__next__))


@pytest.mark.slow
def test_a_budget_in_steps_gives_the_run_of_as_many_epochs(prepared: PreparedCohort, tmp_path: Path) -> None:
    by_epochs = train(prepared, tmp_path / "epochs", epochs=3, warm_up_share=0.3)
    by_steps = train(prepared, tmp_path / "steps", budget={"steps": 6}, warm_up_share=0.3)
    for name in ("weights_last.safetensors", "weights_best.safetensors", "state/epoch_000003/optimizer.safetensors"):
        assert (by_steps / name).read_bytes() == (by_epochs / name).read_bytes(), name


def test_the_last_epoch_of_a_budget_may_be_shorter(prepared: PreparedCohort, tmp_path: Path) -> None:
    run = train(prepared, tmp_path / "run", budget={"steps": 3}, validation_interval_epochs=5, workers=1)
    assert [(row["epoch"], row["step"]) for row in rows(run)] == [("1", "2"), ("2", "3")]
    assert [bool(row["dice_mean"]) for row in rows(run)] == [False, True]  # the last epoch is validated
    assert float(rows(run)[-1]["learning_rate"]) == pytest.approx(scheduled_rate(2, 3, 1e-3), rel=1e-5)
    assert RunFolder(run).last_weights.is_file()
    assert training_cost(run).steps == 3


@pytest.mark.usefixtures("one_second_per_reading")
def test_the_schedule_follows_the_used_seconds(prepared: PreparedCohort, tmp_path: Path) -> None:
    """The clock advances by 1 s per step, and by 1 s at the end of an epoch, which has 2 steps."""
    run = train(prepared, tmp_path / "run", budget={"cpu_seconds": 10}, warm_up_share=0.5)
    assert [float(row["cpu_seconds"]) for row in rows(run)] == [3, 6, 9, 11]
    assert [row["step"] for row in rows(run)] == ["2", "4", "6", "7"]
    # of the last step of each epoch, which begins 1, 4, 7 and 9 s after the start
    expected = [
        1e-3 * (1 + 0.05) / 5.05,
        1e-3 * (4 + 0.05) / 5.05,
        scheduled_rate(2, 5, 1e-3),
        scheduled_rate(4, 5, 1e-3),
    ]
    assert [float(row["learning_rate"]) for row in rows(run)] == pytest.approx(expected, rel=1e-5)
    parameters = training_cost(run).parameters
    assert training_cost(run) == TrainingCost(7, 11.0, None, parameters)


KILLED = """
import itertools
import sys
from functools import partial
from pathlib import Path
from gynbtnet.preparation import PreparedCohort
from gynbtnet.training import settings, stages
from gynbtnet.training.context import TrainingContext
from gynbtnet.training.cost.cost_meter import ClockTimes

stage, kind, prepared, out, values = sys.argv[1:]
clock = (ClockTimes(number, 0, number) for number in itertools.count(1))
stages.TrainingContext = partial(TrainingContext, clock=clock.__next__)
asked = getattr(settings, kind).model_validate_json(values)
sides = {"training_ids": ["ball_0", "ball_1"], "validation_ids": ["ball_2"]}
getattr(stages, stage)(PreparedCohort.open(Path(prepared)), asked, Path(out), **sides)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "kind"),
    [("finetune", SegmentationSettings), pytest.param("pretrain", PretrainingSettings, marks=pytest.mark.slow)],
)
@pytest.mark.usefixtures("one_second_per_reading")
def test_a_killed_run_with_a_budget_ends_with_the_same_weights(
    prepared: PreparedCohort, tmp_path: Path, stage: str, kind: type[TrainingSettings]
) -> None:
    settings = kind(**QUICK, budget=Budget(cpu_seconds=12), warm_up_share=0.2)
    whole = getattr(stages, stage)(prepared, settings, tmp_path / "whole", **SIDES)
    run = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, stage, kind.__name__, str(prepared.folder), str(run)]
    command.append(settings.model_dump_json())
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while len(list((run / "state").glob("epoch_*"))) < 1:
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not RunFolder(run).last_weights.exists(), "the run ended before it was killed"
    getattr(stages, stage)(prepared, settings, run, **SIDES)
    for name in ("weights_last.safetensors", "weights_best.safetensors", "state/epoch_000004/optimizer.safetensors"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    for name in ("step", "learning_rate", "loss", "cpu_seconds"):  # lost steps aren't charged
        assert [row[name] for row in rows(run)] == [row[name] for row in rows(whole)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_cpu_time_includes_the_reading_of_patches_but_no_validation(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """A training patch costs at least 50 ms of CPU time to augment, and a validation patch 1 s."""
    augment = Augmentation.__call__

    def burn(self: Augmentation, *values: Any) -> Any:
        end = time.process_time() + (1 if self.kind == "none" else 0.05)
        while time.process_time() < end:
            pass
        return augment(self, *values)

    monkeypatch.setattr(Augmentation, "__call__", burn)
    start = time.process_time()
    run = train(prepared, tmp_path / "run", augmentation="light", workers=workers, epochs=2)
    of_this_process = time.process_time() - start
    seconds = training_cost(run).cpu_seconds
    assert seconds is not None
    assert 2 * 2 * 2 * 0.05 <= seconds < of_this_process + (0.8 if workers else 0) - 3 * 1


def test_a_clock_counts_only_later_workers() -> None:
    clock = ProcessClock()
    before = clock()
    sum(range(10**6))
    after = clock()
    assert after.cpu_seconds > before.cpu_seconds
    assert after.seconds > before.seconds
    assert before.worker_cpu_seconds == after.worker_cpu_seconds == 0


def test_a_run_of_an_earlier_version_resumes_without_a_cost(prepared: PreparedCohort, tmp_path: Path) -> None:
    run, changes = tmp_path / "run", {"epochs": 2, "time_budget_hours": 1e-9}
    with pytest.raises(Paused, match="after 1 of 2 epochs of the run"):
        train(prepared, run, **changes)
    new = {"cpu_seconds", "gpu_seconds"}
    old_rows = [{name: value for name, value in row.items() if name not in new} for row in rows(run)]
    with (run / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(old_rows[0]))
        writer.writeheader()
        writer.writerows(old_rows)
    progress = run / "state" / "epoch_000001" / "progress.json"
    values = json.loads(progress.read_text())
    del values["used"]
    progress.write_text(json.dumps(values))
    train(prepared, run, **changes)
    assert [row["cpu_seconds"] for row in rows(run)] == ["", ""]
    assert training_cost(run).cpu_seconds is None
    assert checkpoint.read_progress(run / "state").ended


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budget": {"cpu_seconds": 1, "steps": 2}}, "exactly one of cpu_seconds, steps and gpu_seconds"),
        ({"budget": {"steps": 2}, "warm_up_epochs": 1, "epochs": 3}, "warm_up_epochs has no meaning with a budget"),
    ],
)
def test_settings_that_contradict_a_budget(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TrainingSettings(**changes)


def test_gpu_seconds_need_a_gpu(prepared: PreparedCohort, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"budget\.gpu_seconds needs a GPU"):
        train(prepared, tmp_path / "run", budget={"gpu_seconds": 5}, accelerator="cpu")


@pytest.mark.parametrize("content", [None, "epoch,step\n", "epoch\n1\n", "epoch,step\n1,x\n"])
def test_a_log_without_a_cost_is_reported(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "log.csv").write_text(content)
    with pytest.raises(BadInput, match=r"log\.csv"):
        training_cost(tmp_path)


def test_a_cost_is_read_from_any_log_with_its_columns(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,step,cpu_seconds\n1,5,2.5\n2,10,nan\n")
    assert training_cost(tmp_path) == TrainingCost(10, None, None, None)
