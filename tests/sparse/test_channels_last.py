"""Layers that keep dense maps channels last, compared with PyTorch's."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from gynbtnet.networks import GynBTNet, Preset, ResidualBlock
from gynbtnet.sparse.channels_last import (
    DenseInstanceNorm3d,
    as_channels_last,
    is_channels_last,
    use_channels_last_layers,
)


def test_values_and_gradients_are_those_of_pytorch(device):
    torch.manual_seed(0)
    reference = nn.InstanceNorm3d(6, affine=True).to(device, torch.float64)
    nn.init.normal_(reference.weight)
    nn.init.normal_(reference.bias)
    own = DenseInstanceNorm3d(6, affine=True).to(device, torch.float64)
    own.load_state_dict(reference.state_dict())
    x = torch.randn(3, 6, 4, 5, 7, device=device, dtype=torch.float64, requires_grad=True)
    y = as_channels_last(x.detach()).requires_grad_()
    grad = torch.randn(3, 6, 4, 5, 7, device=device, dtype=torch.float64)
    results = []
    for norm, image in ((reference, x), (own, y)):
        result = norm(image)
        result += 1  # a residual block overwrites the result by its shortcut and activation
        result = nn.functional.leaky_relu(result, 0.1, inplace=True)
        result.backward(grad)
        results.append((result, image.grad, norm.weight.grad, norm.bias.grad))
    assert is_channels_last(results[1][0])
    for ours, theirs in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_other_formats_use_pytorch(device):
    norm = DenseInstanceNorm3d(4, affine=True).to(device)
    x = torch.randn(2, 4, 3, 5, 6, device=device)
    assert torch.equal(norm(x), nn.functional.instance_norm(x, weight=norm.weight, bias=norm.bias))
    assert norm(x).is_contiguous()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_network_computes_channels_last_throughout(channels, device):
    """From an image of one channel too, whose strides PyTorch leaves as they are; at a slope of 1, without kinks."""
    torch.manual_seed(0)
    network = GynBTNet(Preset((16, 24, 32), 2, (1, 2, 2)), channels, outputs=3).to(device)
    for module in network.modules():
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = 1.0
    own = deepcopy(network)
    use_channels_last_layers(own)
    assert own.state_dict().keys() == network.state_dict().keys()
    formats = []
    for module in own.modules():
        if isinstance(module, ResidualBlock):
            module.register_forward_hook(lambda module, inputs, output: formats.append(is_channels_last(output)))
    image = torch.randn(2, channels, 8, 16, 24, device=device)
    expected, results = network(image), own(as_channels_last(image))
    assert len(formats) == 10
    assert all(formats)
    for ours, theirs in zip(results, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    for logits in (expected, results):
        sum(level.square().mean() for level in logits).backward()
    for ours, theirs in zip(own.parameters(), network.parameters(), strict=True):
        assert (ours.grad - theirs.grad).norm() < 1e-3 * theirs.grad.norm() + 1e-5
        assert ours.stride() == theirs.stride()


def test_layers_keep_their_parameters_and_random_numbers_are_not_used():
    network = GynBTNet(Preset((16, 16), 1, (1, 2)), 1, outputs=3).requires_grad_(False).eval()
    parameters, drawn = dict(network.named_parameters()), torch.get_rng_state()
    for _ in range(2):
        use_channels_last_layers(network)
    assert all(values is parameters[name] for name, values in network.named_parameters())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not any(module.training for module in network.modules())
    kinds = [type(module).__name__ for module in network.modules()]
    assert (kinds.count("DenseInstanceNorm3d"), kinds.count("PointwiseConv3d")) == (6, 2)
    assert "InstanceNorm3d" not in kinds


def test_memory_formats_are_told_apart():
    image = torch.arange(2 * 1 * 3 * 4 * 5.0).view(2, 1, 3, 4, 5)
    last = as_channels_last(image)
    assert torch.equal(last, image)
    assert last.data_ptr() == image.data_ptr()
    assert last.stride() == (60, 1, 20, 5, 1)
    several = image.expand(2, 3, 3, 4, 5)
    assert torch.equal(as_channels_last(several), several)
    assert is_channels_last(as_channels_last(several))
    assert not is_channels_last(several.contiguous())
