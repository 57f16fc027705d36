"""Forms in which a dense network computes: chosen by measurement, remembered, and equal except for rounding."""

import csv
import logging
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from gynbtnet.networks import GynBTNet, Preset
from gynbtnet.preparation import PreparedCohort
from gynbtnet.runtime import Paused
from gynbtnet.sparse import MaskedAutoencoder
from gynbtnet.training import Budget, network_form
from gynbtnet.training.checkpoint import read_progress
from gynbtnet.training.network_form import can_compile, candidate_forms, choose_form, in_form
from gynbtnet.training.settings import SegmentationSettings, TrainingSettings
from gynbtnet.training.stages import finetune

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SIDES: dict[str, Any] = {"training_ids": ["ball_0", "ball_1"], "validation_ids": ["ball_2"]}
SETTINGS = SegmentationSettings(
    budget=Budget(steps=12),
    steps_per_epoch=8,
    learning_rate=1e-3,
    validation_patches=1,
    checkpoint_interval_epochs=1,
    deep_supervision=False,
)


@pytest.fixture(scope="module")
def network() -> GynBTNet:
    return GynBTNet(Preset((16, 16), 1, (1, 2)), outputs=2)


def test_candidates(network: GynBTNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short run isn't compiled, and neither is one whose budget is in seconds, or one where compilation fails."""
    monkeypatch.setattr(network_form, "can_compile", lambda device: True)

    def candidates(device: torch.device, steps: int | None = 5000, **changes: Any) -> tuple[str, ...]:
        return candidate_forms(network, TrainingSettings(**changes), device, steps)

    assert candidates(CPU) == ("plain",)
    assert candidates(CUDA) == ("plain", "channels_last", "compiled")
    assert candidates(CUDA, 500) == candidates(CUDA, None) == ("plain", "channels_last")
    assert candidates(CUDA, strategy="fsdp") == ("plain", "channels_last")
    assert candidates(CUDA, compile=True) == ("plain",)
    assert candidates(CUDA, network_form="compiled") == candidates(CPU, network_form="compiled") == ("compiled",)
    sparse = MaskedAutoencoder(Preset((16, 16), 1, (1, 2)))
    assert candidate_forms(sparse, TrainingSettings(network_form="channels_last"), CUDA, 5000) == ("plain",)
    monkeypatch.setattr(network_form, "can_compile", lambda device: False)
    assert candidates(CUDA) == ("plain", "channels_last")


def test_settings_that_exclude_each_other() -> None:
    for changes in ({"compile": True, "network_form": "compiled"}, {"strategy": "fsdp", "network_form": "compiled"}):
        with pytest.raises(ValidationError, match="network_form"):
            TrainingSettings(**changes)


def test_a_compiler_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(function: Any) -> Any:
        raise RuntimeError("No C++ compiler found\nmore lines")

    monkeypatch.setattr(torch, "compile", fail)
    assert not can_compile(CPU)
    assert caplog.messages == [
        "Networks aren't compiled on cpu, because torch.compile fails: No C++ compiler found",
    ]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # Dynamo's own, which it hides elsewhere
def test_regions_are_compiled_only_in_their_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoder and decoder are two graphs; validation and the other forms compute them as they are."""
    torch.compiler.reset()
    graphs = []

    def counted(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compile_function = torch.compile
    monkeypatch.setattr(torch, "compile", lambda *args, **_: compile_function(*args, backend=counted))
    own = GynBTNet(Preset((16, 16), 1, (1, 2)), outputs=2, deep_supervision=False)
    image = torch.randn(1, 1, 4, 8, 8)
    expected = own(image).detach()
    choice = choose_form(own, ("plain", "compiled"), None, CPU)
    with network_form.compiled_only_on_request(choice):
        for form, number in (("plain", 0), ("compiled", 2), ("plain", 2), ("compiled", 2)):
            with in_form(form, {"image": image}) as batch:
                torch.testing.assert_close(own(batch["image"]), expected, rtol=1e-4, atol=1e-5)
            assert len(graphs) == number
    torch.compiler.reset()


@pytest.mark.slow
def test_a_run_measures_and_remembers(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By a clock on which channels last is faster. The run resumes without measuring, and learns what a plain one does.

    Each form has one unmeasured and three measured steps, which are the first epoch.
    """
    caplog.set_level(logging.INFO, "gynbtnet")
    forms: list[str] = []
    readings = count()

    def used(form: str, batch: Any) -> Any:
        forms.append(form)
        return in_form(form, batch)

    plain = finetune(prepared, SETTINGS, tmp_path / "plain", **SIDES)
    monkeypatch.setattr("gynbtnet.training.engine.in_form", used)
    monkeypatch.setattr("gynbtnet.training.engine.candidate_forms", lambda *_: ("plain", "channels_last"))
    monkeypatch.setattr(network_form, "device_clock", lambda device: lambda: float((0, 2, 10, 11)[next(readings) % 4]))
    with pytest.raises(Paused):
        finetune(prepared, SETTINGS.model_copy(update={"time_budget_hours": 1e-9}), tmp_path / "run", **SIDES)
    assert forms == ["plain", "channels_last"] * 4
    assert read_progress(tmp_path / "run" / "state").network_form == "channels_last"
    assert caplog.messages.count("Time of a step: plain 2 s, channels_last 1 s. From now on: channels_last.") == 1
    run = finetune(prepared, SETTINGS, tmp_path / "run", **SIDES)
    assert forms[8:] == ["channels_last"] * 4
    assert next(readings) == 16
    assert losses(run) == pytest.approx(losses(plain), rel=1e-3)


def losses(run: Path) -> list[float]:
    with (run / "log.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]
