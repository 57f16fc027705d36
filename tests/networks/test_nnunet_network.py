"""The class paths that plans and exported models contain, found as nnU-Net finds them."""

from pydoc import locate
from typing import Any

import pytest
import torch

from gynbtnet.networks.nnunet_network import NnunetGynBTNet, ReorientedGynBTNet
from gynbtnet.networks.unet import GynBTNet

ARGUMENTS: dict[str, Any] = {"input_channels": 1, "num_classes": 2, "preset": "XS", "strides": [1, 2, 2, 2, 2]}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("gynbtnet.networks.nnunet_network.NnunetGynBTNet", NnunetGynBTNet),
        ("gynbtnet.networks.nnunet_network.ReorientedGynBTNet", ReorientedGynBTNet),
        ("gynbtnet.networks.turned_network.TurnedGynBTNet", ReorientedGynBTNet),  # exports before the class moved
    ],
)
def test_a_class_is_found_by_its_path(path, expected):
    assert locate(path) is expected


def test_nnunet_switches_deep_supervision_on_the_decoder():
    network = NnunetGynBTNet(**ARGUMENTS)
    assert network.state_dict().keys() == GynBTNet("XS", outputs=2).state_dict().keys()
    image = torch.randn(1, 1, 32, 32, 32)
    levels = network(image)
    network.decoder.deep_supervision = False  # type: ignore[assignment]
    assert torch.equal(network(image), levels[0])


def test_a_reoriented_network_reverses_the_axes_before_and_after():
    network = ReorientedGynBTNet(**ARGUMENTS)
    image = torch.randn(1, 1, 32, 32, 48)
    expected = network.network(image.flip((3, 4))).flip((3, 4))
    assert torch.equal(network(image), expected)
    network.network.deep_supervision = True
    assert torch.equal(network(image)[0], expected)


def test_nnu_net_draws_its_own_initial_weights() -> None:
    """As in nnU-Net's ``get_network_from_plans``: each convolution has He's variance, and norms keep their values."""
    torch.manual_seed(0)
    network = NnunetGynBTNet(1, 3, "XS", [(1, 1, 1), *[(2, 2, 2)] * 4])
    network.apply(network.initialize)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv3d) and module.weight.numel() > 10_000:
            expected = (2 / (1 + 0.01**2) / module.weight[0].numel()) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05), name
            assert module.bias is None or not module.bias.any()
        if isinstance(module, torch.nn.InstanceNorm3d):
            assert module.weight is not None
            assert (module.weight == 1).all()
