"""Masks, targets and decoders that a researcher registers by name."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gynbtnet.networks import Preset
from gynbtnet.runtime import BadInput
from gynbtnet.sparse import DenseMaskedAutoencoder, MaskedAutoencoder, register_decoder, register_mask, register_target
from gynbtnet.sparse import registered_parts as registry
from gynbtnet.training.objectives.masked_modelling_objective import MaskedModellingObjective
from gynbtnet.training.settings import PretrainingSettings

SMALL = Preset((16, 16, 16), depth=1, strides=(1, 2, 2))


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for parts in ("_MASKS", "_TARGETS", "_DECODERS"):
        monkeypatch.setattr(registry, parts, {})
    yield


class Plain(nn.Module):
    """Decoder that reads the deepest level only."""

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.head = nn.Conv3d(widths[-1], outputs, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return interpolate(self.head(features[-1]), features[0].shape[2:])


def slab(grid: tuple[int, int, int], ratio: float, generator: torch.Generator) -> Tensor:
    mask = torch.ones(grid, dtype=torch.bool)
    mask[: round(ratio * grid[0])] = False
    return mask


def gradients(image: Tensor) -> Tensor:
    return torch.cat(torch.gradient(image, dim=(2, 3, 4)), dim=1)


def batch() -> Any:
    return {"image": torch.randn(2, 1, 16, 16, 16), "seeds": torch.tensor([1, 2])}


@pytest.mark.parametrize("kind", [MaskedAutoencoder, DenseMaskedAutoencoder])
def test_registered_parts_are_used(kind: type) -> None:
    register_mask("slab", slab)
    register_target("gradients", gradients, outputs=3)
    register_decoder("plain", Plain)
    settings = PretrainingSettings(mask="slab", target="gradients", decoder="plain")
    target = registry.find_target(settings.target)
    torch.manual_seed(0)
    network = kind(SMALL, decoder=settings.decoder, outputs=3)
    objective = MaskedModellingObjective(
        network, 0.5, False, mask=registry.find_mask(settings.mask), target=target, epsilon_hu=None
    )
    data = batch()
    loss = objective.loss(network, data)
    mask = slab((4, 4, 4), 0.5, torch.Generator())[None].expand(2, -1, -1, -1)
    hidden = ~interpolate(mask[:, None].float(), (16, 16, 16)).bool()
    difference = (network(data["image"], mask) - gradients(data["image"])) ** 2
    torch.testing.assert_close(loss, difference[hidden.expand_as(difference)].mean())
    loss.backward()
    assert network.decoder.head.weight.grad.abs().sum() > 0
    with torch.no_grad():
        assert objective.picture([data])
    assert objective.validate([data]).keys() == {"validation_loss"}


def test_names_that_nobody_registered() -> None:
    for setting, words in (("mask", "random"), ("target", "image"), ("decoder", "light, unet")):
        with pytest.raises(ValueError, match=f"there is no {setting} mine, only {words}; register it with"):
            PretrainingSettings(**{setting: "mine"})
    assert PretrainingSettings(decoder="unet").mask == "random"


def test_built_in_names_stay() -> None:
    with pytest.raises(ValueError, match="built in"):
        register_mask("random", slab)
    with pytest.raises(ValueError, match="built in"):
        register_target("image", gradients)
    with pytest.raises(ValueError, match="built in"):
        register_decoder("unet", Plain)


def test_a_mask_of_another_form() -> None:
    network = MaskedAutoencoder(SMALL)
    for wrong in (torch.ones(4, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool)):
        objective = MaskedModellingObjective(network, 0.5, True, mask=lambda *_, wrong=wrong: wrong)
        with pytest.raises(BadInput, match=r"expected torch\.bool of shape"):
            objective.loss(network, batch())


def test_a_mask_that_hides_nothing() -> None:
    network = MaskedAutoencoder(SMALL)
    objective = MaskedModellingObjective(network, 0.5, True, mask=lambda grid, *_: torch.ones(grid, dtype=torch.bool))
    with pytest.raises(BadInput, match="hides none of the 64 cells"):
        objective.loss(network, batch())
