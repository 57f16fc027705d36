"""The model of memory against the tensors that PyTorch keeps for the backward pass."""

import pytest
import torch
from torch import Tensor

from gynbtnet.networks import PRESETS, GynBTNet
from gynbtnet.preparation.planning.memory_estimate import (
    activation_floats,
    count_parameters,
    loss_floats,
    training_bytes,
)
from gynbtnet.preparation.planning.settings import preset_strides
from gynbtnet.training import deeply_supervised

FLAT = ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 1, 1))


class Kept:
    """The floats that the backward pass will read, parameters aside; tensors that share their storage count once."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
        self.storages: dict[int, torch.UntypedStorage] = {}

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.parameters:
            self.storages[storage.data_ptr()] = storage
        return tensor

    @property
    def floats(self) -> float:
        return sum(storage.nbytes() for storage in self.storages.values()) / 4


@pytest.mark.parametrize(
    ("preset", "strides", "channels", "outputs", "patch", "batch"),
    [
        ("XS", None, 1, 6, (32, 32, 48), 2),
        ("XS", FLAT, 2, 30, (8, 32, 32), 1),
        ("S", None, 1, 6, (16, 32, 32), 1),
    ],
)
def test_stored_activations_are_those_of_the_estimate(
    preset: str,
    strides: tuple[tuple[int, int, int], ...] | None,
    channels: int,
    outputs: int,
    patch: tuple[int, int, int],
    batch: int,
) -> None:
    strides = strides or preset_strides(preset)
    network = GynBTNet(preset, channels, outputs=outputs, strides=strides)
    kept = Kept(network)
    labels = torch.randint(0, outputs, (batch, *patch))
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
        logits = network(torch.randn(batch, channels, *patch))
        by_network = kept.floats
        loss = deeply_supervised(logits, labels)
    expected = batch * activation_floats(preset, strides, in_channels=channels, patch_size=patch)
    assert by_network == pytest.approx(expected, rel=0.003)  # the rest are the means and deviations of the norms
    with_loss = expected + batch * loss_floats(strides, outputs=outputs, patch_size=patch)
    assert kept.floats == pytest.approx(with_loss, rel=0.01)
    assert loss.requires_grad


@pytest.mark.parametrize("preset", PRESETS)
def test_parameters_are_counted(preset: str) -> None:
    with torch.device("meta"):
        network = GynBTNet(preset, 2, outputs=6)
    assert count_parameters(preset, in_channels=2, outputs=6) == sum(p.numel() for p in network.parameters())


def test_the_peak_of_a_step_is_bounded() -> None:
    """Allocations and releases of a second step, measured by PyTorch's profiler; AdamW's moments exist already."""
    network = GynBTNet("XS", outputs=6)
    optimiser = torch.optim.AdamW(network.parameters())
    image, labels = torch.randn(2, 1, 32, 32, 48), torch.randint(0, 6, (2, 32, 32, 48))

    def step() -> None:
        deeply_supervised(network(image), labels).backward()
        optimiser.step()
        optimiser.zero_grad()

    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    weights_and_moments = 12 * count_parameters("XS", in_channels=1, outputs=6)
    bound = training_bytes("XS", preset_strides("XS"), in_channels=1, outputs=6, patch_size=(32, 32, 48), batch_size=2)
    assert 0.75 * bound < weights_and_moments + peak < bound
