"""The networks: parameter counts of the paper, and a block computed step by step."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv3d, leaky_relu

from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.networks.presets import PRESETS, Preset
from gynbtnet.networks.unet import Encoder, GynBTNet
from gynbtnet.runtime import BadInput

TINY = Preset((4, 6, 8), depth=2, strides=(1, 2, 2))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("preset", "total", "encoder"),
    [("S", 14.60, 7.2), ("B", 58.26, 28.7), ("L", 440.30, 247.0), ("H", 1457.33, 852.8)],
)
def test_parameters_with_105_outputs_in_millions(preset, total, encoder):
    with torch.device("meta"):
        network = GynBTNet(preset, outputs=105)
    assert round(count(network) / 1e6, 2) == total
    assert round(count(network.encoder) / 1e6, 1) == encoder


def test_parameters_of_the_papers_network_to_the_last_one():
    with torch.device("meta"):
        network = GynBTNet("L", outputs=1)
    coarse_heads = count(network.decoder.heads[:-1])
    assert count(network) - coarse_heads == 440_093_825


def test_the_papers_bottleneck_is_its_mask_grid():
    with torch.device("meta"):
        encoder = Encoder(PRESETS["L"])
    assert encoder.total_stride == (16, 16, 16)
    assert encoder.deepest_grid((112, 128, 128)) == (7, 8, 8)


def test_deep_supervision_gives_every_level_finest_first():
    network = GynBTNet("XS", outputs=3)
    image = torch.randn(1, 1, 32, 32, 32)
    logits = network(image)
    assert [tuple(level.shape) for level in logits] == [(1, 3, n, n, n) for n in (32, 16, 8, 4)]
    network.deep_supervision = False
    assert torch.equal(network(image), logits[0])


def test_strides_of_any_axis_and_a_last_level_at_stride_one():
    strides = (1, (1, 2, 2), (2, 1, 2), 1)
    network = GynBTNet(Preset((4, 6, 8, 8), 1, (1, 2, 2, 1)), in_channels=2, outputs=2, strides=strides)
    assert network.encoder.total_stride == (2, 2, 4)
    logits = network(torch.randn(2, 2, 4, 6, 8))
    assert [tuple(level.shape[2:]) for level in logits] == [(4, 6, 8), (4, 3, 4), (2, 3, 2)]
    sum(level.sum() for level in logits).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_first_block_of_every_level_projects_and_the_others_do_not():
    network = GynBTNet(TINY, outputs=2)
    for level in (*network.encoder.levels, *network.decoder.levels):
        assert isinstance(level[0].shortcut, torch.nn.Conv3d)
        assert isinstance(level[1].shortcut, torch.nn.Identity)


def test_a_block_computes_what_its_docstring_describes():
    block = ResidualBlock(3, 4, stride=(1, 2, 2), project_shortcut=True).double()
    for norm in (block.norm1, block.norm2):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    x = torch.randn(2, 3, 4, 4, 6, dtype=torch.float64)

    def normalised(y, norm):
        mean, variance = y.mean((2, 3, 4), keepdim=True), y.var((2, 3, 4), keepdim=True, unbiased=False)
        scale, shift = (p.view(1, -1, 1, 1, 1) for p in (norm.weight, norm.bias))
        return (y - mean) / (variance + 1e-5).sqrt() * scale + shift

    y = conv3d(x, block.conv1.weight, block.conv1.bias, stride=(1, 2, 2), padding=1)
    y = leaky_relu(normalised(y, block.norm1), 0.01)
    y = normalised(conv3d(y, block.conv2.weight, block.conv2.bias, padding=1), block.norm2)
    assert isinstance(block.shortcut, nn.Conv3d)
    y = y + conv3d(x, block.shortcut.weight, block.shortcut.bias, stride=(1, 2, 2))
    torch.testing.assert_close(block(x), leaky_relu(y, 0.01))


def test_a_decoder_level_is_nearest_upsampling_then_projection_then_the_skip_behind_it():
    network = GynBTNet(Preset((4, 6), 1, (1, 2)), outputs=2).double()
    fine, coarse = network.encoder(torch.randn(1, 1, 4, 4, 4, dtype=torch.float64))
    decoder = network.decoder
    up = coarse
    for axis in (2, 3, 4):
        up = up.repeat_interleave(2, axis)
    merged = torch.cat((decoder.projections[0](up), fine), 1)
    expected = decoder.heads[0](ResidualBlock.forward(decoder.levels[0][0], merged))
    torch.testing.assert_close(decoder([fine, coarse], deep_supervision=True)[0], expected)


def test_a_patch_that_does_not_fit_is_reported_with_its_numbers():
    network = GynBTNet("XS", outputs=2)
    with pytest.raises(BadInput, match=r"32×40×48.*16×16×16"):
        network(torch.zeros(1, 1, 32, 40, 48))
    with pytest.raises(BadInput, match="16×16×16 voxels leaves a single voxel"):
        network(torch.zeros(1, 1, 16, 16, 16))


def test_wrong_strides_and_names():
    with pytest.raises(ValueError, match="3 levels need 3 strides, not 2"):
        GynBTNet(TINY, outputs=2, strides=(1, 2))
    with pytest.raises(ValueError, match="a stride is 1 or 2"):
        GynBTNet(TINY, outputs=2, strides=(1, 2, (1, 3, 2)))
    with pytest.raises(BadInput, match="no network preset 'XL'; expected one of XXS, XS, S, B, L, H"):
        GynBTNet("XL", outputs=2)


def test_batch_norm_in_the_encoder_keeps_the_parameters_names():
    instance, batch = Encoder(TINY), Encoder(TINY, norm="batch")
    assert dict(instance.named_parameters()).keys() == dict(batch.named_parameters()).keys()


def test_forward_changes_none_of_its_arguments_and_is_the_same_without_gradients():
    network = GynBTNet("XS", outputs=2, deep_supervision=False)
    image = torch.randn(1, 1, 32, 32, 48)
    before = image.clone()
    expected = network(image)
    with torch.inference_mode():
        assert torch.equal(network(image), expected)
        features = network.encoder(image)
        copies = [level.clone() for level in features]
        network.decoder(features, deep_supervision=True)
    assert torch.equal(image, before)
    assert len(features) == len(copies)
    assert all(torch.equal(level, copy) for level, copy in zip(features, copies, strict=True))
