"""Optimisers, averaged weights and transfers: against independent formulas, and resumed bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from gynbtnet.preparation import PreparedCase, PreparedCohort
from gynbtnet.training.optimisation.averaged_weights import AveragedWeights
from gynbtnet.training.optimisation.optimiser import make_optimiser
from gynbtnet.training.optimisation.optimiser_settings import OptimiserSettings
from gynbtnet.training.settings import PretrainingSettings, SegmentationSettings, TrainingSettings
from gynbtnet.training.stages import finetune, pretrain
from gynbtnet.training.trained_parameters import parameter_groups

QUICK: dict[str, Any] = {
    "epochs": 3,
    "steps_per_epoch": 1,
    "checkpoint_interval_epochs": 1,
    "validation_patches": 1,
    "learning_rate": 1e-3,
}
SIDES: dict[str, Any] = {"training_ids": ["ball_0", "ball_1"], "validation_ids": ["ball_2"]}


def interrupt_at(monkeypatch: pytest.MonkeyPatch, crops: int) -> None:
    """Let the reading of patch number ``crops`` raise the error of Ctrl-C."""
    read, count = PreparedCase.crop, 0

    def crop(case: PreparedCase, *where: Any) -> Any:
        nonlocal count
        count += 1
        if count == crops:
            raise KeyboardInterrupt
        return read(case, *where)

    monkeypatch.setattr(PreparedCase, "crop", crop)


@pytest.fixture(scope="module")
def pretrained(prepared: PreparedCohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = PretrainingSettings(**{**QUICK, "epochs": 1})
    return pretrain(prepared, settings, tmp_path_factory.mktemp("runs") / "pretrained", **SIDES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "sgd", "momentum": 0.9, "schedule": "poly", "ema": 0.5},
        {"encoder_learning_rate": 0.1, "decoder_first_share": 0.5, "new_head_scale": 0.1},
        {"new_head_learning_rate": 10},
    ],
)
def test_an_interrupted_run_ends_with_the_same_weights(
    prepared: PreparedCohort, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    settings = SegmentationSettings(**QUICK, **changes)
    whole = finetune(prepared, settings, tmp_path / "whole", **SIDES, start=pretrained)
    with monkeypatch.context() as patched:
        interrupt_at(patched, 4)  # in the second epoch
        with pytest.raises(KeyboardInterrupt):
            finetune(prepared, settings, tmp_path / "run", **SIDES, start=pretrained)
    finetune(prepared, settings, tmp_path / "run", **SIDES, start=pretrained)
    state = whole / "state" / "epoch_000003"
    names = ["weights_last.safetensors", "weights_best.safetensors"]
    names += [str(path.relative_to(whole)) for path in state.glob("*.safetensors")]
    for name in names:
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes(), name
    last, averaged = load_file(whole / "weights_last.safetensors"), state / "averaged.safetensors"
    assert averaged.exists() == (settings.ema is not None)
    if settings.ema is not None:
        assert all(torch.equal(last[name], values) for name, values in load_file(averaged).items())
        weights = load_file(state / "weights.safetensors")
        assert not all(torch.equal(last[name], values) for name, values in weights.items())


def test_the_encoder_waits_for_its_share_of_the_run(prepared: PreparedCohort, pretrained: Path, tmp_path: Path) -> None:
    settings = SegmentationSettings(**QUICK, decoder_first_share=0.99, new_head_scale=0.1)
    run = finetune(prepared, settings, tmp_path / "run", **SIDES, start=pretrained)
    before, after = load_file(pretrained / "weights_last.safetensors"), load_file(run / "weights_last.safetensors")
    encoder = [name for name in after if name.startswith("encoder.")]
    assert encoder
    assert all(torch.equal(before[name], after[name]) for name in encoder)
    moments = load_file(run / "state" / "epoch_000003" / "optimizer.safetensors")
    assert not any(name.startswith("encoder.") for name in moments)
    assert any(name.startswith("decoder.") for name in moments)
    heads = torch.cat([after[name].flatten() for name in after if name.startswith("decoder.heads.")])
    assert float(heads.abs().max()) < 0.1  # PyTorch draws up to 1 / sqrt(16) = 0.25


def test_settings_of_a_transfer_have_no_effect_from_scratch(prepared: PreparedCohort, tmp_path: Path) -> None:
    quick = {**QUICK, "epochs": 1}
    changes = {
        "encoder_learning_rate": 0.1,
        "decoder_first_share": 0.5,
        "new_head_scale": 0.1,
        "new_head_learning_rate": 10,
    }
    plain, changed = (
        finetune(prepared, SegmentationSettings(**quick, **values), tmp_path / str(len(values)), **SIDES)
        for values in ({}, changes)
    )
    name = "weights_last.safetensors"
    assert (plain / name).read_bytes() == (changed / name).read_bytes()


@pytest.mark.parametrize("kept", [False, True])
def test_only_new_heads_have_a_rate_of_their_own(prepared: PreparedCohort, tmp_path: Path, kept: bool) -> None:
    """In a single step, SGD moves the heads four times as far; heads that are kept learn like the other layers."""
    quick = {**QUICK, "epochs": 1, "optimiser": "sgd", "weight_decay": 0}
    first = finetune(prepared, SegmentationSettings(**quick), tmp_path / "first", **SIDES)
    moved = {}
    for factor in (1e-9, 1, 4):
        settings = SegmentationSettings(**quick, new_head_learning_rate=factor)
        run = finetune(prepared, settings, tmp_path / f"factor_{factor}", **SIDES, start=first, keep_heads=kept)
        moved[factor] = load_file(run / "weights_last.safetensors")
    for name, start in moved[1e-9].items():
        if name.startswith("decoder.heads.") and not kept:
            assert not torch.equal(moved[1][name], start), name
            assert torch.allclose(moved[4][name] - start, 4 * (moved[1][name] - start), rtol=1e-3, atol=1e-7), name
        else:
            assert torch.equal(moved[1][name], start), name
            assert torch.equal(moved[4][name], start), name


def test_sgd_is_that_of_nnunet() -> None:
    """Two steps by hand: v ← μ v + g, and p ← p − η (g + μ v) with the L2 term in g."""
    parameter = nn.Parameter(torch.tensor([2.0]))
    settings = OptimiserSettings(optimiser="sgd", momentum=0.9, learning_rate=0.1)
    optimiser = make_optimiser([{"params": [parameter], "weight_decay": 0.5}], settings, loss_is_scaled=False)
    value, velocity = 2.0, 0.0
    for _ in range(2):
        parameter.grad = torch.tensor([3.0])
        optimiser.step()
        gradient = 3 + 0.5 * value
        velocity = 0.9 * velocity + gradient
        value -= 0.1 * (gradient + 0.9 * velocity)
    assert float(parameter.detach()) == pytest.approx(value)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("loss_is_scaled", [False, True])
def test_gradients_of_a_scaled_loss_can_be_clipped(
    monkeypatch: pytest.MonkeyPatch, optimiser: Any, loss_is_scaled: bool
) -> None:
    """On a GPU the optimiser is fused, and Fabric unscales no gradients of a fused one."""
    monkeypatch.setattr(nn.Parameter, "is_cuda", True, raising=False)
    groups = [{"params": [nn.Parameter(torch.ones(1))], "weight_decay": 0.0}]
    settings = OptimiserSettings(optimiser=optimiser)
    made = make_optimiser(groups, settings, loss_is_scaled=loss_is_scaled)
    assert made.defaults["fused"] is (None if loss_is_scaled else True)
    assert getattr(made, "_step_supports_amp_scaling", False) is not loss_is_scaled


def test_averages_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0)
    averaged = AveragedWeights(layer, 0.2)
    expected = 0.0
    for step, value in enumerate((1.0, 2.0, 4.0), start=1):
        with torch.no_grad():
            layer.weight.fill_(value)
        averaged.update(step)
        decay = min(0.2, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with averaged.in_use():
        assert float(layer.weight.detach()) == pytest.approx(expected)
    assert float(layer.weight.detach()) == 4
    with averaged.in_use():
        assert float(layer.weight.detach()) == pytest.approx(expected)


@pytest.mark.parametrize("on", ["all", "weights"])
def test_the_encoder_has_groups_of_its_own_rate(on: Any) -> None:
    network = nn.ModuleDict({"encoder": nn.Conv3d(1, 2, 1), "decoder": nn.Conv3d(2, 1, 1)})
    groups = parameter_groups(network, TrainingSettings(weight_decay_on=on), encoder_rate=0.1)
    rates = {id(parameter): group["rate_factor"] for group in groups for parameter in group["params"]}
    assert {name: rates[id(parameter)] for name, parameter in network.named_parameters()} == {
        "encoder.weight": 0.1,
        "encoder.bias": 0.1,
        "decoder.weight": 1.0,
        "decoder.bias": 1.0,
    }
    assert len(rates) == sum(len(group["params"]) for group in groups) == 4


def test_heads_have_groups_of_their_own_rate() -> None:
    network = nn.ModuleDict(
        {
            "encoder": nn.Conv3d(1, 2, 1, bias=False),
            "decoder": nn.ModuleDict(
                {"level": nn.Conv3d(2, 2, 1, bias=False), "heads": nn.Conv3d(2, 1, 1, bias=False)}
            ),
        }
    )

    def rates(**factors: float) -> dict[str, float]:
        groups = parameter_groups(network, TrainingSettings(), **factors)
        by_identity = {id(parameter): group["rate_factor"] for group in groups for parameter in group["params"]}
        assert len(by_identity) == sum(len(group["params"]) for group in groups) == 3
        return {name: by_identity[id(parameter)] for name, parameter in network.named_parameters()}

    names = ("encoder.weight", "decoder.level.weight", "decoder.heads.weight")
    for factors, expected in (
        ({}, (1, 1, 1)),
        ({"head_rate": 10.0}, (1, 1, 10)),
        ({"encoder_rate": 0.1, "head_rate": 10.0}, (0.1, 1, 10)),
        ({"encoder_rate": 0.1, "head_rate": 0.1}, (0.1, 1, 0.1)),
    ):
        assert rates(**factors) == dict(zip(names, expected, strict=True))
