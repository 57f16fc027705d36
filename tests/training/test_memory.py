"""Tests of batches in parts, of the memory of one patch, and of the message if memory runs out."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psutil
import pytest
import torch
from lightning_fabric import Fabric
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from gynbtnet.networks import GynBTNet, Preset
from gynbtnet.preparation import PreparedCohort
from gynbtnet.runtime import BadInput
from gynbtnet.training import memory, stages
from gynbtnet.training.data.batches import Batch
from gynbtnet.training.objectives.segmentation_objective import SegmentationObjective
from gynbtnet.training.settings import PretrainingSettings, SegmentationSettings
from gynbtnet.training.stages import finetune, pretrain

SIDES: dict[str, Any] = {"training_ids": ["ball_0", "ball_1"], "validation_ids": ["ball_2"]}
SMALL = Preset((16, 16, 16), depth=1, strides=(1, 2, 2))


def cpu() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def segmentation() -> SegmentationObjective:
    torch.manual_seed(0)
    return SegmentationObjective(GynBTNet(SMALL, outputs=3), ("first", "second"), batch_dice=False)


def patches(number: int, size: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(number, 1, size, size, size, generator=generator)
    return Batch(image=image, labels=(image[:, 0] > 1).to(torch.uint8), seeds=torch.arange(number))


def test_a_batch_is_split_into_equal_parts() -> None:
    batch = patches(6, 4)
    parts = list(memory.split_batch(batch, 2))
    assert [len(part["image"]) for part in parts] == [2, 2, 2]
    assert torch.equal(torch.cat([part["labels"] for part in parts]), batch["labels"])
    assert torch.equal(torch.cat([part["seeds"] for part in parts]), batch["seeds"])


def test_memory_grows_with_the_patches() -> None:
    one, two = (memory.peak_bytes(cpu(), segmentation(), patches(number)) for number in (1, 2))
    assert two == pytest.approx(2 * one, rel=0.02)
    # by hand: two blocks' convolutions and norms at full size, 16 channels of float32, are kept for the gradients
    assert one > 4 * 16 * 4 * 32**3


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_system_sees_the_same_peak() -> None:
    """In a separate process, whose peak is that of its first step."""
    ended = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    measured = int(ended.stdout)
    assert memory.peak_bytes(cpu(), segmentation(), patches(2, 64)) == pytest.approx(measured, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(("patches_worth", "expected"), [(7, 6), (5, 3), (2.5, 2), (1.5, 1)])
def test_as_many_divisors_as_the_budget_holds(
    monkeypatch: pytest.MonkeyPatch, patches_worth: float, expected: int
) -> None:
    objective = segmentation()
    one = memory.peak_bytes(cpu(), objective, patches(1))
    weights = sum(parameter.nbytes for parameter in objective.network.parameters())
    monkeypatch.setattr(psutil, "Process", lambda: Mock(memory_info=lambda: Mock(rss=10**9)))
    budget = (10**9 + 3 * weights + patches_worth * one) / 1e9
    assert memory.micro_batch_size(cpu(), objective, patches(6), budget) == expected
    assert all(parameter.grad is None for parameter in objective.network.parameters())


def test_not_even_one_patch() -> None:
    with pytest.raises(
        BadInput, match="Not even one patch of 32×32×32 voxels fits into memory; take a smaller patch_size"
    ):
        memory.micro_batch_size(cpu(), segmentation(), patches(2), 0.001)


@dataclass(frozen=True)
class Holds(SegmentationObjective):
    """Objective that runs out of GPU memory with more than ``most`` patches."""

    most: int = 0

    def loss(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        if len(batch["image"]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return super().loss(network, batch)


@pytest.mark.parametrize(("most", "expected"), [(9, 6), (5, 3), (1, 1)])
def test_a_gpu_is_tried(monkeypatch: pytest.MonkeyPatch, most: int, expected: int) -> None:
    """With a CPU that pretends to be a GPU."""
    objective = Holds(segmentation().network, ("first", "second"), False, most=most)
    fabric = Mock(wraps=cpu(), world_size=1)
    fabric.device = Mock(type="cuda")
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda size, *, dtype, device: empty(1, dtype=dtype))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Mock(total_memory=8e9))
    assert memory.micro_batch_size(fabric, objective, patches(6, 16), None) == expected


@pytest.mark.slow
def test_a_step_in_parts_is_that_of_the_whole_batch(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gynbtnet.training.engine.micro_batch_size", lambda *_: 1)
    common: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-3, "validation_patches": 1}
    runs = [
        train(prepared, kind(**common, auto_micro_batch=parts), tmp_path / f"{kind.__name__}{parts}", **SIDES)  # type: ignore[arg-type]
        for train, kind in ((finetune, SegmentationSettings), (pretrain, PretrainingSettings))
        for parts in (False, True)
    ]
    for whole, parts in (runs[:2], runs[2:]):
        one, other = (load_file(run / "weights_last.safetensors") for run in (whole, parts))
        # Adam's first step is the gradient's sign: all but the gradients that are zero to rounding agree
        moved = torch.cat([(one[name] - other[name]).abs().flatten() for name in one])
        assert float((moved < 1e-5).float().mean()) > 0.97


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (MemoryError(), True),
        (RuntimeError("shapes don't match"), False),
    ],
)
def test_out_of_memory_gives_advice(error: Exception, explained: bool) -> None:
    words = "batch_size 24 and patch_size 112×128×128. Set auto_micro_batch.*patch_size.*activation_checkpointing: true"
    expected = pytest.raises(BadInput if explained else type(error), match=words if explained else "shapes")
    with expected, memory.explain_out_of_memory(24, (112, 128, 128)):
        raise error


def test_an_allocation_that_a_cpu_refuses() -> None:
    with pytest.raises(BadInput, match="Memory ran out"), memory.explain_out_of_memory(2, (16, 16, 16)):
        torch.empty(2**60, dtype=torch.uint8)


def test_memory_runs_out_in_a_run(prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GynBTNet, "forward", lambda self, image: torch.empty(2**60, dtype=torch.uint8))
    with pytest.raises(BadInput, match="batch_size 2 and patch_size 16×32×32"):
        finetune(prepared, SegmentationSettings(epochs=1, steps_per_epoch=1), tmp_path / "run", **SIDES)
    assert not (tmp_path / "run" / "weights_last.safetensors").exists()


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (PretrainingSettings, {"auto_micro_batch": True, "norm": "batch"}, "norm batch needs the whole batch"),
        (PretrainingSettings, {"encoder": "dense", "norm": "batch"}, "norm batch .* are for encoder sparse"),
        (PretrainingSettings, {"encoder": "dense", "activation_checkpointing": True}, "are for encoder sparse"),
        (SegmentationSettings, {"auto_micro_batch": True, "batch_dice": True}, "batch_dice needs the whole batch"),
        (
            SegmentationSettings,
            {"auto_micro_batch": True, "strategy": "fsdp"},
            "auto_micro_batch measures the memory of a single device",
        ),
        (SegmentationSettings, {"micro_batch_memory_gb": 4}, "micro_batch_memory_gb limits auto_micro_batch"),
    ],
)
def test_settings_that_exclude_each_other(kind: Any, values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        kind(**values)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_plan_beyond_memory_is_refused_before_its_network_is_made(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    wide = replace(prepared, plan=replace(prepared.plan, preset="XS", patch_size=(640, 640, 640)))
    monkeypatch.setattr(stages, "build_network", None)
    monkeypatch.setattr(stages, "MaskedAutoencoder", None)
    cases: dict[str, Any] = {"training_ids": ["ball_0"], "validation_ids": []}
    with pytest.raises(BadInput, match=r"preset XS and . patch(es)? of 640×640×640 voxels needs about .* available"):
        if stage == "pretrain":
            stages.pretrain(wide, PretrainingSettings(), tmp_path / "run", **cases)
        else:
            stages.finetune(wide, SegmentationSettings(), tmp_path / "run", **cases)
    assert not (tmp_path / "run").exists()


if __name__ == "__main__":
    objective, batch = segmentation(), patches(2, 64)
    memory.peak_bytes(cpu(), objective, patches(1, 16))
    before = psutil.Process().memory_info().rss
    objective.loss(objective.network, batch).backward()
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    print(1024 * int(peak.split()[1]) - before)
