"""Plain masked autoencoding against its definition, written with functional operations."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.functional import conv3d, instance_norm, interpolate, leaky_relu

from gynbtnet.networks import GynBTNet, Preset, transfer_weights
from gynbtnet.sparse.dense_masked_autoencoder import DenseMaskedAutoencoder
from gynbtnet.sparse.masking import draw_active_blocks

PRESET = Preset((16, 24, 24), depth=2, strides=(1, 2, 2))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def draw(device, grid=(2, 2, 3)):
    return draw_active_blocks(2, grid, 0.6, torch.Generator(device).manual_seed(0))


def convolved(x, layer):
    return conv3d(x, layer.weight, layer.bias, layer.stride, layer.padding)


def normed(x, layer):
    return instance_norm(x, weight=layer.weight, bias=layer.bias, eps=layer.eps)


def definition(network, image, mask):
    """Zeros in masked cells, residual blocks, projections, and the light decoder, one operation at a time."""
    x = image.clone()
    edge = image.shape[2] // mask.shape[1]
    for sample, z, y, x_index in (~mask).nonzero().tolist():
        x[sample, :, edge * z : edge * (z + 1), edge * y : edge * (y + 1), edge * x_index : edge * (x_index + 1)] = 0
    features = []
    for level in network.encoder.levels:
        for block in level:
            y = normed(convolved(leaky_relu(normed(convolved(x, block.conv1), block.norm1)), block.conv2), block.norm2)
            x = leaky_relu(y + (convolved(x, block.shortcut) if isinstance(block.shortcut, nn.Conv3d) else x))
        features.append(x)
    *skips, x = [convolved(x, layer) for x, layer in zip(features, network.projections, strict=True)]
    decoder = network.decoder
    for skip, projection, convolution, norm in zip(
        skips[::-1], decoder.projections, decoder.convolutions, decoder.norms, strict=True
    ):
        x = interpolate(convolved(x, projection), scale_factor=2) + skip
        x = leaky_relu(normed(convolved(x, convolution), norm))
    return convolved(x, decoder.head)


def test_values_and_gradients_are_those_of_the_definition(device):
    network = DenseMaskedAutoencoder(PRESET).double().to(device)
    image, active = torch.randn(2, 1, 8, 8, 12, dtype=torch.float64).to(device), draw(device)
    literal = deepcopy(network)
    ours, expected = network(image, active), definition(literal, image, active.mask.to(device))
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
    for reconstruction in (ours, expected):
        reconstruction.square().sum().backward()
    for (name, parameter), other in zip(network.named_parameters(), literal.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-7, atol=1e-7, msg=name)


@pytest.mark.parametrize("decoder", ["light", "unet"])
def test_masked_voxels_are_never_read_and_every_parameter_is_trained(decoder, device):
    network = DenseMaskedAutoencoder(PRESET, 2, decoder=decoder).to(device)
    image, active = torch.randn(2, 2, 8, 8, 12).to(device), draw(device)
    hidden = interpolate((~active.mask)[:, None].float().to(device), image.shape[2:]).bool()
    reconstruction = network(image.masked_fill(hidden, float("nan")), active)
    assert torch.equal(reconstruction, network(image, active))
    reconstruction.square().sum().backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in network.parameters())


def test_the_whole_encoder_is_transferred():
    source, target = DenseMaskedAutoencoder(PRESET), GynBTNet(PRESET, outputs=3)
    assert transfer_weights(source.state_dict(), target, parts="encoder").share == 1
