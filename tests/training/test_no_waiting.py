"""A step never reads a value from its device, because a GPU would have to finish its work first.

The steps run on PyTorch's meta device, whose tensors have no values: reading one raises an error.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn

from gynbtnet.imaging import Regions
from gynbtnet.networks import GynBTNet, Preset
from gynbtnet.runtime import MeasuredChoice
from gynbtnet.sparse import DenseMaskedAutoencoder, MaskedAutoencoder, cuda_rules, use_channels_last_layers
from gynbtnet.training import MaskedModellingObjective, SegmentationObjective, SegmentationSettings, engine
from gynbtnet.training.data.batches import Batch
from gynbtnet.training.optimisation.averaged_weights import AveragedWeights

META = torch.device("meta")
PRESET = Preset((16, 16), 1, (1, 2))
STRUCTURES = ("hr_ctv", "bladder")


class FabricOnMeta:
    """Devices of a run as the loop uses them."""

    device, world_size = META, 1

    def to_device(self, values: Tensor) -> Tensor:
        return values.to(META)

    def no_backward_sync(self, network: nn.Module, enabled: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def clip_gradients(self, network: nn.Module, optimizer: Any, max_norm: float, error_if_nonfinite: bool) -> None:
        nn.utils.clip_grad_norm_(network.parameters(), max_norm, error_if_nonfinite=error_if_nonfinite)


def batches(missing: bool) -> Iterator[Batch]:
    """Batches as a worker sends them: on the CPU."""
    for seed in range(4):
        batch = Batch(
            image=torch.zeros(2, 1, 8, 16, 16, dtype=torch.float16),
            labels=torch.zeros(2, 8, 16, 16, dtype=torch.uint8),
            seeds=torch.tensor([seed, seed + 1]),
            units=torch.ones(2, 1),
        )
        if missing:
            batch["missing"] = torch.tensor([[False, True], [False, False]])
        yield batch


def segmentation(regions: Regions | None = None, *, batch_dice: bool = False) -> SegmentationObjective:
    network = GynBTNet(PRESET, outputs=3 if regions is None else 2)
    use_channels_last_layers(network)
    return SegmentationObjective(network, STRUCTURES, batch_dice, regions=regions)


OBJECTIVES: dict[str, Callable[[], Any]] = {
    "stage 1": lambda: MaskedModellingObjective(
        MaskedAutoencoder(PRESET, rules=cuda_rules(2**20)), 0.6, True, epsilon_hu=20.0
    ),
    "stage 1 with a dense encoder": lambda: MaskedModellingObjective(DenseMaskedAutoencoder(PRESET), 0.6, True),
    "stages 2 and 3": segmentation,
    "stages 2 and 3, batch_dice": lambda: segmentation(batch_dice=True),
    "overlapping structures": lambda: segmentation(Regions.of(STRUCTURES, [STRUCTURES])),
}


@pytest.mark.parametrize("form", ["plain", pytest.param("channels_last", marks=pytest.mark.slow)])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_reads_nothing_from_its_device(
    name: str, missing: bool, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With accumulation, clipping, AdamW and averaged weights; the loss is read after many steps only."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # PyTorch's doesn't know this device
    with META:
        objective = OBJECTIVES[name]()
    network = objective.network
    settings = SegmentationSettings(gradient_accumulation_steps=2, max_grad_norm=12.0)
    optimiser = torch.optim.AdamW(network.parameters(), foreach=True)
    averaged = AveragedWeights(network, 0.99)
    learner = engine._Learner(network, optimiser, optimiser, 1, averaged, [], MeasuredChoice("step", (form,)))
    fabric: Any = FabricOnMeta()
    context: Any = Mock(fabric=fabric, settings=settings, objective=objective, batches=Mock(batch_size=2))
    meter = engine._Meter(fabric, batches(missing))
    for step in range(2):
        engine._optimise(context, learner, meter)
        averaged.update(step + 1)
        assert meter.note == ""
    assert all(parameter.device == META for parameter in network.parameters())


def test_a_loss_that_reads_a_value_fails_here() -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.zeros((), device=META).item()
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.zeros(3, device=META).nonzero()
