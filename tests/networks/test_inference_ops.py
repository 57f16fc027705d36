"""Steps without gradients against PyTorch's own, cut into slabs of every thickness."""

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import conv3d, instance_norm

from gynbtnet.networks import inference_ops as lean_steps
from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.networks.inference_ops import (
    convolve,
    convolve_inplace,
    convolve_slabs,
    convolve_with,
    is_cpu_inference,
    normalise,
)
from gynbtnet.networks.unet import GynBTNet

EXACT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def in_slabs_of(monkeypatch, slices, x, channels):
    """Let a slab have so many slices of ``x``."""
    monkeypatch.setattr(lean_steps, "_SLAB", slices * x[:, 0, 0].numel() * max(x.shape[1], channels))


@pytest.mark.parametrize("thickness", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 1, 1)])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_convolution_in_slabs_is_the_whole_one(monkeypatch, thickness, kernel, batch):
    conv = nn.Conv3d(3, 3, kernel, padding=tuple(n // 2 for n in kernel)).double()
    x = torch.randn(batch, 3, 7, 4, 5, dtype=torch.float64)
    expected = conv3d(x, conv.weight, conv.bias, padding=tuple(n // 2 for n in kernel)).detach()
    in_slabs_of(monkeypatch, thickness, x, 3)
    with torch.no_grad():
        torch.testing.assert_close(convolve(conv, x), expected, **EXACT)
        there = torch.randn_like(expected)
        summed = there + expected
        torch.testing.assert_close(convolve(conv, x, onto=there), summed, **EXACT)
        torch.testing.assert_close(there, summed, **EXACT)
        over = x.clone()
        assert convolve_inplace(conv, over) is over
        torch.testing.assert_close(over, expected, **EXACT)


@pytest.mark.parametrize("kernel", list(product((2, 3), repeat=3)))
@pytest.mark.parametrize("thickness", [1, 2, 5])
def test_slabs_of_an_even_kernel_end_with_what_the_next_begins_with(monkeypatch, kernel, thickness):
    x, weight = torch.randn(1, 2, 5, 3, 4, dtype=torch.float64), torch.randn(4, 2, *kernel, dtype=torch.float64)
    expected = conv3d(x, weight, padding=(1, 1, 1))
    in_slabs_of(monkeypatch, thickness, x, 4)
    seen = []
    with torch.no_grad():
        for z, part in convolve_slabs(x, weight):
            torch.testing.assert_close(part, expected[:, :, z.start : z.stop + (kernel[0] == 2)], **EXACT)
            seen.append(z)
    assert [n for z in seen for n in range(z.start, z.stop)] == list(range(5))
    assert len(seen) == -(-5 // thickness)


@given(st.tuples(*[st.sampled_from((1, 2))] * 3), st.tuples(*[st.integers(1, 9)] * 3))
def test_a_strided_convolution_is_pytorchs(stride, size):
    conv = nn.Conv3d(2, 4, 3, stride, padding=1)
    x = torch.randn(1, 2, *size)
    expected = conv3d(x.double(), conv.weight.double(), conv.bias.double(), stride, padding=1)
    with torch.no_grad():
        torch.testing.assert_close(convolve(conv, x).double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_norm_in_place_is_pytorchs(monkeypatch, affine, batch):
    monkeypatch.setattr(lean_steps, "_LARGE", 1)
    norm = nn.InstanceNorm3d(9, affine=affine).double()
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(batch, 9, 3, 4, 5, dtype=torch.float64) * 7 + 3
    expected = instance_norm(x, weight=norm.weight, bias=norm.bias).detach()
    with torch.no_grad():
        assert normalise(norm, x) is x
    torch.testing.assert_close(x, expected, **EXACT)


def test_a_network_gives_with_gradients_what_it_gives_without(monkeypatch):
    network = GynBTNet("XS", outputs=3, deep_supervision=False).double()
    image = torch.randn(1, 1, 32, 32, 48, dtype=torch.float64)
    before = image.clone()
    expected = network(image).detach()
    monkeypatch.setattr(lean_steps, "_LARGE", 1)
    monkeypatch.setattr(lean_steps, "_SLAB", 16 * 5 * 32 * 48)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), expected, **EXACT)
    assert torch.equal(image, before)


def test_gradients_and_recorded_graphs_take_pytorchs_own_way():
    x, conv, norm = torch.randn(1, 2, 3, 3, 3), nn.Conv3d(2, 2, 3, padding=1), nn.BatchNorm3d(2).eval()
    assert not is_cpu_inference(x)
    assert convolve_inplace(conv, x).grad_fn is not None
    with torch.no_grad():
        assert is_cpu_inference(x)
        assert not is_cpu_inference(x.to("meta"))
        with torch.autocast("cpu", torch.bfloat16):
            assert convolve(conv, x).dtype == torch.bfloat16
        assert torch.equal(normalise(norm, x), norm(x))
        graph = torch.export.export(ResidualBlock(2, 2), (x,), strict=False).graph
    targets = [str(node.target) for node in graph.nodes]
    assert targets.count("aten.conv3d.default") == 2
    assert targets.count("aten.instance_norm.default") == 2
    assert convolve_with(x, conv.weight).shape == x.shape
