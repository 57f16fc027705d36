"""Tests with two processes that communicate through gloo, as two GPUs do through NCCL."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from safetensors.torch import load_file

from gynbtnet.datasets import Split
from gynbtnet.preparation import PreparedCohort
from gynbtnet.runtime import BadInput, Paused
from gynbtnet.training.budget import Budget
from gynbtnet.training.cost.run_cost import training_cost
from gynbtnet.training.devices import start_devices
from gynbtnet.training.settings import (
    PretrainingSettings,
    ProxyTaskSettings,
    SegmentationSettings,
    TrainingSettings,
)
from gynbtnet.training.stages import finetune, pretrain

SETTINGS = PretrainingSettings(epochs=2, steps_per_epoch=1, learning_rate=1e-3, checkpoint_interval_epochs=1)
TORCHRUN = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--nproc_per_node=2",
    "--master_port=0",
    "--rdzv-backend=c10d",
]

SCRIPT = """
import sys
from pathlib import Path
from lightning_fabric import Fabric
from lightning_fabric.plugins import DoublePrecision
from gynbtnet.preparation import PreparedCohort
from gynbtnet.training import devices, settings, stages

def make_fabric(precision, **options):  # a sharded network accepts double precision as a plugin only
    double = precision == "64-true"
    return Fabric(**options, **({"plugins": DoublePrecision()} if double else {"precision": precision}))

devices.Fabric = make_fabric
stage, kind, folder, out, values, changes, start = sys.argv[1:]
values = getattr(settings, kind).model_validate_json(values).model_copy(update=eval(changes))
prepared = PreparedCohort.open(Path(folder))
validating = [] if values.precision == "64-true" else ["ball_2"]
options = {"start": Path(start)} if start else {}
sides = {"training_ids": ["ball_0", "ball_1"], "validation_ids": validating}
getattr(stages, stage)(prepared, values, Path(out), **sides, **options)
"""
SIDES: dict[str, Any] = {"training_ids": ["ball_0", "ball_1"], "validation_ids": ["ball_2"]}
DOUBLE: dict[str, Any] = {"precision": "64-true"}
"""Double precision, which no recipe offers, for comparisons of weights.

In single precision, rounding changes the sign of gradients that are nearly zero, and with it Adam's steps.
"""


def on_two(
    launcher: list[str],
    stage: Any,
    prepared: PreparedCohort,
    folder: Path,
    settings: TrainingSettings,
    start: Path | None = None,
    **changes: Any,
) -> tuple[Path, str]:
    """Train in two processes; return the run folder and the text on stderr."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    kind = type(settings).__name__
    command = [*launcher, script, stage.__name__, kind, prepared.folder, folder / "two", settings.model_dump_json()]
    ended = subprocess.run([*command, repr(changes), start or ""], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    return folder / "two", ended.stderr


def on_one(stage: Any, prepared: PreparedCohort, out: Path, settings: TrainingSettings, **options: Any) -> Path:
    """Train in this process, in double precision and without validation as the script does."""
    settings = settings.model_copy(update=DOUBLE)
    run: Path = stage(prepared, settings, out, training_ids=["ball_0", "ball_1"], validation_ids=[], **options)
    return run


def check_same_weights(run: Path, other: Path) -> None:
    weights, expected = (load_file(folder / "weights_last.safetensors") for folder in (run, other))
    assert weights.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(weights[name], values, rtol=0, atol=1e-7)


def logged(run: Path, column: str) -> list[float]:
    with (run / "log.csv").open(newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_share_a_batch_as_one_has_it(prepared: PreparedCohort, tmp_path: Path) -> None:
    """Including the running statistics of batch norm over the voxels of both, and all settings that could differ."""
    settings = SETTINGS.model_copy(
        update={"norm": "batch", "decoder": "unet", "gradient_accumulation_steps": 2, "activation_checkpointing": True}
    )
    two, errors = on_two([sys.executable], pretrain, prepared, tmp_path, settings, devices=2, **DOUBLE)
    assert errors.count("Pretraining") == 2  # one line per epoch, only from the first process
    one = on_one(pretrain, prepared, tmp_path / "one", settings)
    assert logged(two, "loss") == pytest.approx(logged(one, "loss"), rel=1e-5)  # six digits are logged
    assert any("running_mean" in name for name in load_file(one / "weights_last.safetensors"))
    check_same_weights(two, one)


@pytest.mark.slow
def test_two_processes_train_the_finest_head_alone(prepared: PreparedCohort, tmp_path: Path) -> None:
    """Without deep supervision. DDP fails at its second step if a weight that could be trained gets no gradient."""
    settings = SegmentationSettings(
        epochs=1,
        steps_per_epoch=3,
        learning_rate=1e-3,
        validation_patches=1,
        augmentation="none",
        deep_supervision=False,
    )
    two, _ = on_two([sys.executable], finetune, prepared, tmp_path, settings, devices=2)
    one = finetune(prepared, settings, tmp_path / "one", **SIDES)
    assert logged(two, "loss") == pytest.approx(logged(one, "loss"), rel=1e-3)


@pytest.mark.slow
def test_two_processes_wait_for_no_gradient_of_what_is_frozen(prepared: PreparedCohort, tmp_path: Path) -> None:
    """Each has one of a batch's two patches, and biases and the coarsest head are frozen."""
    settings = SegmentationSettings(
        epochs=2,
        steps_per_epoch=2,
        learning_rate=1e-3,
        warm_up_share=0.3,
        initialisation="he",
        weight_decay_on="weights",
        freeze_idle_biases=True,
        supervise_coarsest=False,
        foreground_rule="last_of_batch",
    )
    two, _ = on_two([sys.executable], finetune, prepared, tmp_path, settings, devices=2, **DOUBLE)
    one = on_one(finetune, prepared, tmp_path / "one", settings)
    assert logged(two, "loss") == pytest.approx(logged(one, "loss"), rel=1e-5)
    check_same_weights(two, one)


@pytest.mark.slow
def test_two_processes_end_a_budget_together(prepared: PreparedCohort, tmp_path: Path) -> None:
    """A budget of CPU seconds is used by both processes together, and each decides the same after every step."""
    settings = SegmentationSettings(
        budget=Budget(cpu_seconds=3),
        steps_per_epoch=2,
        learning_rate=1e-3,
        validation_patches=1,
        optimiser="sgd",
        momentum=0.9,
        schedule="poly",
        ema=0.9,
        workers=1,
    )
    two, _ = on_two([sys.executable], finetune, prepared, tmp_path, settings, devices=2)
    cost = training_cost(two)
    assert cost.cpu_seconds is not None
    assert cost.cpu_seconds >= 3
    assert cost.steps < 2 * len(logged(two, "step")) + 1
    assert logged(two, "learning_rate")[-1] < 1e-3
    assert (two / "weights_last.safetensors").is_file()


REPORTED = """
import sys
from gynbtnet.runtime import BadInput
try:
    exec(open(sys.argv.pop(1)).read())
except BadInput as problem:
    sys.exit(f"refused: {problem}")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"learning_rate": 0.5}, [r"refused: The run in .* was made with settings\.learning_rate = 0\.001"] * 2),
        ({}, ["refused: .*ball_1.* is absent or damaged", "refused: Another process of this run has ended"]),
    ],
)
def test_bad_input_of_two_processes_is_reported_without_a_traceback(
    prepared: PreparedCohort, tmp_path: Path, changes: dict[str, Any], sentences: list[str]
) -> None:
    """A run that was made otherwise, and a damaged scan that one of them reads."""
    settings = SegmentationSettings(epochs=2, steps_per_epoch=4, learning_rate=1e-3)
    folder = Path(shutil.copytree(prepared.folder, tmp_path / "prepared"))
    hurried = settings.model_copy(update={"time_budget_hours": 1e-9})
    with pytest.raises(Paused):
        finetune(PreparedCohort.open(folder), hurried, tmp_path / "run", **SIDES)
    next(folder.rglob("ball_1.b2nd")).write_bytes(b"damaged")
    (tmp_path / "script.py").write_text(SCRIPT)
    values = settings.model_copy(update=changes).model_dump_json()
    command = [*TORCHRUN, "--no-python", sys.executable, "-c", REPORTED, str(tmp_path / "script.py")]
    command += ["finetune", "SegmentationSettings", str(folder), str(tmp_path / "run"), values, "{}", ""]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    lines = [line for line in ended.stderr.splitlines() if line.startswith("refused")]
    assert len(lines) == 2, ended.stderr
    assert all(
        re.match(*pair) for pair in zip(sentences, sorted(lines, key=lambda line: "Another" in line), strict=True)
    )
    assert "[rank" not in ended.stderr


@pytest.mark.slow
def test_a_sharded_network_validates_as_a_whole_one(prepared: PreparedCohort, tmp_path: Path) -> None:
    settings = SegmentationSettings(epochs=1, steps_per_epoch=1, learning_rate=1e-3, validation_patches=1)
    two, _ = on_two([sys.executable], finetune, prepared, tmp_path, settings, devices=2, strategy="fsdp")
    one = finetune(prepared, settings, tmp_path / "one", **SIDES)
    assert logged(two, "loss") == pytest.approx(logged(one, "loss"), rel=1e-5)
    assert logged(two, "dice_mean") == pytest.approx(logged(one, "dice_mean"), abs=1e-3)


@pytest.mark.slow
def test_torchrun_with_shares_of_the_network_and_without(prepared: PreparedCohort, tmp_path: Path) -> None:
    """A sharded run started by torchrun stops after an epoch, and one process with the whole network resumes it."""
    settings = SegmentationSettings(
        epochs=2,
        steps_per_epoch=1,
        learning_rate=1e-3,
        gradient_accumulation_steps=2,
        deep_supervision=False,
    )
    one = on_one(finetune, prepared, tmp_path / "one", settings)
    folder = tmp_path / "first"
    folder.mkdir()
    changes: dict[str, Any] = {**DOUBLE, "strategy": "fsdp", "time_budget_hours": 1e-9}
    with pytest.raises(AssertionError, match="time budget of 1e-09 h is used up after 1 of 2 epochs"):
        on_two(TORCHRUN, finetune, prepared, folder, settings, **changes)
    checkpoint = folder / "two" / "state" / "epoch_000001"
    shapes = {name: values.shape for name, values in load_file(checkpoint / "weights.safetensors").items()}
    assert shapes == {name: values.shape for name, values in load_file(one / "weights_last.safetensors").items()}
    run = on_one(finetune, prepared, folder / "two", settings)
    assert logged(run, "loss") == pytest.approx(logged(one, "loss"), rel=1e-5)
    check_same_weights(run, one)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "kind", "more"),
    [
        (pretrain, PretrainingSettings, {}),
        (finetune, SegmentationSettings, {}),
        (finetune, SegmentationSettings, {"weight_decay_on": "weights", "freeze_idle_biases": True}),
        (finetune, SegmentationSettings, {"weight_decay_on": "weights", "supervise_coarsest": False}),
        (finetune, SegmentationSettings, {"optimiser": "sgd", "momentum": 0.5, "ema": 0.9}),
    ],
)
def test_a_sharded_network_resumes_sharded(
    prepared: PreparedCohort, tmp_path: Path, stage: Any, kind: type[TrainingSettings], more: dict[str, Any]
) -> None:
    """The checkpoint was written by one process; also with parts that aren't trained."""
    settings = kind(epochs=2, steps_per_epoch=1, learning_rate=1e-3, **more)
    one = on_one(stage, prepared, tmp_path / "one", settings)
    hurried = settings.model_copy(update={"time_budget_hours": 1e-9})
    with pytest.raises(Exception, match="time budget"):
        on_one(stage, prepared, tmp_path / "two", hurried)
    two, _ = on_two(TORCHRUN, stage, prepared, tmp_path, settings, **DOUBLE, strategy="fsdp")
    assert logged(two, "loss") == pytest.approx(logged(one, "loss"), rel=1e-5)
    check_same_weights(two, one)


@pytest.fixture(scope="module")
def stages(prepared: PreparedCohort, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Any, ...]]:
    """Function, settings, start and run of each stage in one process, each from the weights of the one before."""
    folder = tmp_path_factory.mktemp("stages")
    size: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 2, "learning_rate": 1e-3}
    pretraining, segmentation = PretrainingSettings(**size), SegmentationSettings(**size)
    first = on_one(pretrain, prepared, folder / "1", pretraining)
    second = on_one(finetune, prepared, folder / "2", segmentation, start=first)
    third = on_one(finetune, prepared, folder / "3", segmentation, start=second)
    return {
        1: (pretrain, pretraining, None, first),
        2: (finetune, segmentation, first, second),
        3: (finetune, segmentation, second, third),
    }


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("number", [3, 1, 2])
def test_each_stage_on_two_devices_learns_what_one_learns(
    stages: dict[int, tuple[Any, ...]], prepared: PreparedCohort, tmp_path: Path, number: int, strategy: str
) -> None:
    """Stages 2 and 3 start from the stage before."""
    stage, settings, start, one = stages[number]
    changes: dict[str, Any] = {**DOUBLE, "devices": 2, "strategy": strategy}
    two, _ = on_two([sys.executable], stage, prepared, tmp_path, settings, start, **changes)
    assert logged(two, "loss") == pytest.approx(logged(one, "loss"), rel=1e-5)
    check_same_weights(two, one)
    assert (two / "transfer.json").is_file() == (start is not None)


@pytest.mark.slow
def test_torchrun_from_the_documented_command_line(
    stages: dict[int, tuple[Any, ...]], prepared: PreparedCohort, tmp_path: Path
) -> None:
    """With names replaced by paths, and settings for small scans after it."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "several-devices.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("torchrun ")]
    Split((), (("p2",), ("p0", "p1")), 0).save(tmp_path / "split.json")
    *_, run = stages[2]
    names = {
        "PREPARED": prepared.folder,
        "split.json": tmp_path / "split.json",
        "STAGE_2": run,
        "RUN": tmp_path / "run",
    }
    command = [str(names.get(word, word)) for word in line.split()]
    changes = {"structures": "[ball]", "task.plan.patch_size": "[16,32,32]", "task.plan.batch_size": "2"}
    changes |= {"task.plan.normalisation": "zscore", "task.plan.preset": prepared.plan.preset}
    training = {"epochs": 1, "steps_per_epoch": 2, "validation_patches": 1, "workers": 0, "accelerator": "cpu"}
    changes |= {f"task.training.{name}": str(value) for name, value in training.items()}
    command += [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": os.pathsep.join([programs, os.environ["PATH"]])}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    started = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert [entry["processes"] for entry in started] == [2]
    assert len(logged(tmp_path / "run", "loss")) == 1
    assert (tmp_path / "run" / "weights_last.safetensors").is_file()


def test_slurm_brings_its_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = {"NTASKS": "8", "NTASKS_PER_NODE": "4", "NNODES": "2", "PROCID": "5", "LOCALID": "1", "NODEID": "1"}
    for name, value in {**slurm, "JOB_NAME": "train", "JOB_ID": "77", "NODELIST": "gpu[3-4]"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr("lightning_fabric.Fabric.launch", lambda self: None)
    fabric = start_devices(TrainingSettings(accelerator="cpu"))
    environment = getattr(fabric.strategy, "cluster_environment", None)
    assert isinstance(environment, SLURMEnvironment)
    assert environment.main_address == "gpu3"
    assert (fabric.world_size, fabric.global_rank, fabric.local_rank) == (8, 5, 1)
    with pytest.raises(BadInput, match="devices is 3, but torchrun or Slurm started 4 processes on each of 2 machines"):
        start_devices(TrainingSettings(accelerator="cpu", devices=3))
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert start_devices(TrainingSettings(accelerator="cpu")).world_size == 1


def test_a_batch_that_cannot_be_shared(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Three:
        world_size, global_rank, is_global_zero = 3, 0, True

    monkeypatch.setattr("gynbtnet.training.stages.start_devices", lambda settings: Three())
    settings = SegmentationSettings(epochs=1, steps_per_epoch=1)
    with pytest.raises(BadInput, match="3 devices can't share a batch of 2 patches evenly"):
        finetune(prepared, settings, tmp_path / "run", **SIDES)
    with pytest.raises(BadInput, match="batch_dice needs the whole batch"):
        finetune(prepared, settings.model_copy(update={"batch_dice": True}), tmp_path / "run", **SIDES)
    swin = replace(prepared.plan, network="swin_unetr", preset="F12", strides=(), patch_size=(64, 64, 64))
    with pytest.raises(BadInput, match="compares all patches of a batch with each other, but 3 devices"):
        pretrain(
            replace(prepared, plan=swin), ProxyTaskSettings(epochs=1, steps_per_epoch=1), tmp_path / "run", **SIDES
        )
    assert not (tmp_path / "run").exists()
