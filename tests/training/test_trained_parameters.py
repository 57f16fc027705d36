"""Tests of the parameters that are trained and of those with weight decay."""

from typing import Any

import pytest
import torch
from torch import nn

from gynbtnet.networks import GynBTNet, Preset, initialise_he
from gynbtnet.sparse import ActiveBlocks, MaskedAutoencoder
from gynbtnet.training.settings import PretrainingSettings, SegmentationSettings
from gynbtnet.training.trained_parameters import freeze_untrained, parameter_groups

SMALL = Preset((16, 16, 32), depth=2, strides=(1, 2, 2))


def networks() -> list[nn.Module]:
    torch.manual_seed(0)
    return [
        GynBTNet(SMALL, outputs=3),
        MaskedAutoencoder(SMALL),
        MaskedAutoencoder(SMALL, norm="batch", decoder="unet"),
    ]


@pytest.mark.parametrize("network", networks())
def test_only_weights_of_convolutions_decay(network: nn.Module) -> None:
    settings = SegmentationSettings(weight_decay=0.3, weight_decay_on="weights")
    decaying, others = parameter_groups(network, settings)
    trained = {parameter for parameter in network.parameters() if parameter.requires_grad}
    weights = {module.weight for module in network.modules() if isinstance(module, nn.Conv3d)} & trained
    assert set(decaying["params"]) == weights
    assert set(others["params"]) == trained - weights
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0)
    assert any("mask_token" in name for name, _ in network.named_parameters()) == hasattr(network, "densify")


def test_by_default_everything_decays_as_adamw_has_it() -> None:
    network = networks()[0]
    (group,) = parameter_groups(network, SegmentationSettings(weight_decay=0.3))
    assert set(group["params"]) == set(network.parameters())
    assert group["weight_decay"] == 0.3


def test_a_step_without_gradients_shrinks_the_decaying_alone() -> None:
    network = networks()[1]
    for parameter in network.parameters():
        parameter.data.fill_(1.0)
        parameter.grad = torch.zeros_like(parameter)
    groups = parameter_groups(network, PretrainingSettings(weight_decay=0.5, weight_decay_on="weights"))
    torch.optim.AdamW(groups, 0.1).step()
    for name, parameter in network.named_parameters():
        expected = 0.95 if parameter.ndim == 5 else 1.0
        assert parameter.flatten()[0].item() == pytest.approx(expected), name


def test_swin_unetrs_tables_of_biases_do_not_decay() -> None:
    pytest.importorskip("monai")
    from gynbtnet.networks import SwinUNETR

    network = SwinUNETR("F12", 1, outputs=2)
    decaying, others = parameter_groups(network, SegmentationSettings(weight_decay_on="weights"))
    names = {parameter: name for name, parameter in network.named_parameters()}
    tables = [name for name in names.values() if "relative_position_bias_table" in name]
    assert tables
    assert set(tables) <= {names[parameter] for parameter in others["params"]}
    assert all(names[parameter].endswith("weight") for parameter in decaying["params"])


def test_frozen_biases_are_those_that_change_nothing() -> None:
    """The value of a frozen bias has no effect on the output; every other bias changes it."""
    network = networks()[0].double().eval()
    freeze_untrained(network, SegmentationSettings(freeze_idle_biases=True))
    image = torch.randn(1, 1, 16, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = network(image)
        for name, parameter in network.named_parameters():
            if not name.endswith("bias") or "norm" in name:
                continue
            parameter.add_(0.7)
            moved = max(float((one - other).abs().max()) for one, other in zip(before, network(image), strict=True))
            parameter.sub_(0.7)
            assert (moved < 1e-12) == (not parameter.requires_grad), name
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert len(frozen) == 2 * 2 * 3 + 2 * 2 * 2  # two a block; two blocks at three levels down and two up
    assert all(name.endswith(("conv1.bias", "conv2.bias")) for name in frozen)


@pytest.mark.parametrize(("norm", "idle"), [("instance", True), ("batch", False)])
def test_in_stage_1_only_an_instance_norm_makes_biases_idle(norm: Any, idle: bool) -> None:
    network = MaskedAutoencoder(SMALL, norm=norm)
    freeze_untrained(network, PretrainingSettings(freeze_idle_biases=True))
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert ("encoder.levels.0.0.conv1.bias" in frozen) == idle
    assert {name for name in frozen if name.startswith("decoder")} == {
        "decoder.convolutions.0.bias",
        "decoder.convolutions.1.bias",
    }
    image = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    active = ActiveBlocks(torch.rand(1, 4, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.4)
    network(image, active).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == (name in frozen), name


def test_the_coarsest_head_is_frozen_if_the_loss_leaves_it_out() -> None:
    network = networks()[0]
    freeze_untrained(network, SegmentationSettings(supervise_coarsest=False))
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert frozen == ["decoder.heads.0.weight", "decoder.heads.0.bias"]
    coarsest_first = [level.shape[2] for level in reversed(network(torch.zeros(1, 1, 16, 16, 16)))]
    assert coarsest_first == sorted(coarsest_first)


def test_he_initialisation_is_nnunets() -> None:
    theirs = pytest.importorskip("dynamic_network_architectures.initialization.weight_init")
    ours, reference = networks()[0], networks()[0]
    torch.manual_seed(3)
    initialise_he(ours)
    torch.manual_seed(3)
    reference.apply(theirs.InitWeights_He(1e-2))
    for (name, one), other in zip(ours.named_parameters(), reference.parameters(), strict=True):
        assert torch.equal(one, other), name
    weight = ours.get_parameter("encoder.levels.1.0.conv1.weight").detach()
    assert float(weight.std()) == pytest.approx((2 / (1 + 0.01**2) / (16 * 27)) ** 0.5, rel=0.05)
