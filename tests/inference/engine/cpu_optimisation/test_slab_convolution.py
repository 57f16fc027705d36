"""Slab-wise convolutions and in-place norms against PyTorch's own, for slabs of every thickness."""

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import conv3d, instance_norm

from gynbtnet.inference.engine.cpu_optimisation.inplace_norm import normalise_inplace
from gynbtnet.inference.engine.cpu_optimisation.slab_convolution import (
    add_convolution_inplace,
    convolve,
    convolve_inplace,
    convolve_slabs,
)

EXACT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
UNIT = (1, 1, 1)
SLAB = 2**22


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def values_per_slab(slices, x, channels):
    """Values per slab so that a slab has the given number of slices."""
    return slices * x[:, 0, 0].numel() * max(x.shape[1], channels)


@pytest.mark.parametrize("thickness", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 1, 1)])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_convolution_in_slabs_equals_pytorchs(thickness, kernel, batch):
    weight, bias = torch.randn(3, 3, *kernel, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    x = torch.randn(batch, 3, 7, 4, 5, dtype=torch.float64)
    before = x.clone()
    expected = conv3d(x, weight, bias, padding=tuple(n // 2 for n in kernel))
    slab_values = values_per_slab(thickness, x, 3)
    torch.testing.assert_close(convolve(x, weight, bias, UNIT, slab_values=slab_values), expected, **EXACT)
    target = torch.randn_like(expected)
    total = target + expected
    assert add_convolution_inplace(target, x, weight, bias, UNIT, slab_values=slab_values) is target
    torch.testing.assert_close(target, total, **EXACT)
    assert torch.equal(x, before)
    assert convolve_inplace(x, weight, bias, slab_values=slab_values) is x
    torch.testing.assert_close(x, expected, **EXACT)


@pytest.mark.parametrize("kernel", list(product((2, 3), repeat=3)))
@pytest.mark.parametrize("thickness", [1, 2, 5])
def test_a_slab_of_an_even_kernel_ends_with_the_first_slice_of_the_next(kernel, thickness):
    x, weight = torch.randn(1, 2, 5, 3, 4, dtype=torch.float64), torch.randn(4, 2, *kernel, dtype=torch.float64)
    expected = conv3d(x, weight, padding=(1, 1, 1))
    ranges = []
    for slices, slab in convolve_slabs(x, weight, slab_values=values_per_slab(thickness, x, 4)):
        torch.testing.assert_close(slab, expected[:, :, slices.start : slices.stop + (kernel[0] == 2)], **EXACT)
        ranges.append(slices)
    assert [n for slices in ranges for n in range(slices.start, slices.stop)] == list(range(5))
    assert len(ranges) == -(-5 // thickness)


@given(st.tuples(*[st.sampled_from((1, 2))] * 3), st.tuples(*[st.integers(1, 9)] * 3))
def test_a_strided_convolution_equals_pytorchs(stride, size):
    weight, bias = torch.randn(4, 2, 3, 3, 3), torch.randn(4)
    x = torch.randn(1, 2, *size)
    expected = conv3d(x.double(), weight.double(), bias.double(), stride, padding=1)
    result = convolve(x, weight, bias, stride, slab_values=SLAB)
    torch.testing.assert_close(result.double(), expected, rtol=1e-4, atol=1e-4)
    total = add_convolution_inplace(torch.ones_like(result), x, weight, bias, stride, slab_values=SLAB)
    torch.testing.assert_close(total.double(), 1 + expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
@torch.no_grad()
def test_an_inplace_norm_equals_pytorchs(affine, batch):
    norm = nn.InstanceNorm3d(9, affine=affine).double()
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(batch, 9, 3, 4, 5, dtype=torch.float64) * 7 + 3
    expected = instance_norm(x, weight=norm.weight, bias=norm.bias)
    assert normalise_inplace(norm, x, min_voxels=1) is x
    torch.testing.assert_close(x, expected, **EXACT)


@torch.no_grad()
def test_small_maps_and_other_norms_take_pytorchs_way():
    x = torch.randn(1, 2, 3, 3, 3)
    for norm in (nn.InstanceNorm3d(2), nn.BatchNorm3d(2).eval()):
        before = x.clone()
        assert torch.equal(normalise_inplace(norm, x, min_voxels=28), norm(x))
        assert torch.equal(x, before)
