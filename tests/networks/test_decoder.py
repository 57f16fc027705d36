"""The decoder's saving form against its plain one: the same parameters, values and gradients."""

from itertools import product
from typing import Any

import pytest
import torch
from torch.nn.functional import conv3d

from gynbtnet.networks import decoder_block as merging_block
from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.networks.decoder_block import DecoderBlock, use_split_form
from gynbtnet.networks.presets import Preset
from gynbtnet.networks.unet import GynBTNet
from gynbtnet.networks.upsampled_convolution import convolve_upsampled

EXACT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
STRIDES = list(product((1, 2), repeat=3))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def repeated(small, stride):
    for axis, step in zip((2, 3, 4), stride, strict=True):
        small = small.repeat_interleave(step, axis)
    return small


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 1, 2), (4, 3, 5)])
@pytest.mark.parametrize("channels", [5, 65])  # with and without gradients, few channels and many go other ways
def test_the_convolution_is_that_of_the_upsampled_map_at_every_border(stride, size, channels):
    small = torch.randn(2, 3, *size, dtype=torch.float64)
    weight = torch.randn(channels, 3, 3, 3, 3, dtype=torch.float64)
    expected = conv3d(repeated(small, stride), weight, padding=1)
    torch.testing.assert_close(convolve_upsampled(small, weight, stride), expected, **EXACT)
    with torch.no_grad():
        torch.testing.assert_close(convolve_upsampled(small, weight, stride), expected, **EXACT)


@pytest.mark.parametrize("stride", STRIDES)
def test_the_split_block_has_the_plain_ones_values_and_gradients(stride):
    block = DecoderBlock(4).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    size = (2, 3, 4)
    below = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    skip = torch.randn(2, 4, *(n * s for n, s in zip(size, stride, strict=True)), dtype=torch.float64)
    skip.requires_grad_()
    inputs = (below, skip, *block.parameters())
    # Written out: the block of the network as STU-Net has it, on the maps put together.
    merged = torch.cat((repeated(below, stride), skip), dim=1)
    reference = ResidualBlock.forward(block, merged)
    towards = torch.randn_like(reference)
    expected = torch.autograd.grad(reference, inputs, towards)
    for form in (block.plain, block.split):
        found = form(below, skip)
        torch.testing.assert_close(found, reference, **EXACT)
        for gradient, other in zip(torch.autograd.grad(found, inputs, towards), expected, strict=True):
            torch.testing.assert_close(gradient, other, **EXACT)


def test_a_whole_network_gives_the_same_either_way(monkeypatch):
    strides = (1, (1, 2, 2), (2, 1, 2), 1)
    network = GynBTNet(Preset((4, 6, 8, 8), 2, (1, 2, 2, 1)), in_channels=2, outputs=3, strides=strides).double()
    image = torch.randn(2, 2, 4, 6, 8, dtype=torch.float64)

    def run(split):
        monkeypatch.setattr(merging_block, "use_split_form", lambda below: split)
        logits = network(image)
        gradients = torch.autograd.grad(sum(level.square().sum() for level in logits), list(network.parameters()))
        return [*logits, *gradients]

    for ours, plain in zip(run(split=True), run(split=False), strict=True):
        torch.testing.assert_close(ours, plain, **EXACT)


def test_the_parameters_are_those_of_a_residual_block_on_both_maps():
    ours, plain = DecoderBlock(4).state_dict(), ResidualBlock(8, 4, projects=True).state_dict()
    assert {name: values.shape for name, values in ours.items()} == {n: v.shape for n, v in plain.items()}


def test_the_plain_form_runs_where_it_is_faster_or_nothing_was_measured():
    assert use_split_form(torch.zeros(1, 2, 4, 8, 8))
    assert not use_split_form(torch.zeros(1, 2, 4, 7, 8))
    assert not use_split_form(torch.zeros(1, 2, 4, 8, 8, device="meta"))
