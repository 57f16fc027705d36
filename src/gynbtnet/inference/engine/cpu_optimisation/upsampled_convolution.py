"""A 3×3×3 convolution of a nearest-upsampled map, computed on the small map."""

from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose3d

from gynbtnet.inference.engine.cpu_optimisation.slab_convolution import convolve_slabs
from gynbtnet.inference.engine.cpu_optimisation.tuning import CpuTuning
from gynbtnet.runtime.array_types import Triple

_SUMS = {
    1: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    2: ((1, 1, 0, 0), (0, 1, 1, 0), (0, 0, 1, 1)),
}
"""Sums of the 3 weights along an axis (rows) that are the weights on the small map (columns), by the axis's stride.

The columns at stride 2 are the first weight of an even and of an odd output index, then the second weight of both. Two
of the three voxels that an output reads are copies of the same voxel of the small map."""


def convolve_upsampled(small: Tensor, weight: Tensor, stride: Triple, tuning: CpuTuning) -> Tensor:
    """Return ``conv3d(upsample(small), weight, padding=1)``, to rounding, without the upsampled map.

    Along an upsampled axis each output reads two voxels of the small map, with summed weights. This makes eight
    convolutions of 2×2×2, one for each parity of the output's index, and 8 products instead of 27. Together they are
    one transposed convolution with kernel 4 and stride 2. For few channels it is faster to compute all parities in one
    convolution and to interleave them. ``benchmarks/cpu_optimisation.py`` measures it.

    Args:
        small: (B, in_channels, d, h, w).
        weight: (channels, in_channels, 3, 3, 3).
        stride: How often each voxel is repeated along (z, y, x), 1 or 2.
        tuning: Sizes from which each form is used.

    Returns:
        (B, channels, d · stride, …).
    """
    if len(weight) > tuning.max_interleaved_channels:
        return _convolve_transposed(small, weight, stride)
    return _convolve_interleaved(small, weight, stride, tuning.slab_values)


def _convolve_transposed(small: Tensor, weight: Tensor, stride: Triple) -> Tensor:
    kernel = _summed_weights(weight, stride).flip(2)  # a transposed convolution reads its kernel backwards
    kernel = kernel.view(*weight.shape[:2], *(step + 2 for step in stride))
    return conv_transpose3d(small, kernel.transpose(0, 1), stride=stride, padding=1)


def _convolve_interleaved(small: Tensor, weight: Tensor, stride: Triple, slab_values: int) -> Tensor:
    z, y, x = stride
    kernel = _summed_weights(weight, stride).view(*weight.shape[:2], 4 - z, z, 4 - y, y, 4 - x, x)
    kernel = kernel.permute(3, 5, 7, 0, 1, 2, 4, 6).flatten(0, 3)
    _, height, width = sizes = small.shape[2:]
    large = small.new_empty(len(small), len(weight), *(n * step for n, step in zip(sizes, stride, strict=True)))
    for slices, slab in convolve_slabs(small, kernel, slab_values=slab_values):
        output = large[:, :, slices.start * z : slices.stop * z]
        slab_shape = (slices.stop - slices.start, height, width)
        for values, parity in zip(slab.tensor_split(z * y * x, dim=1), product(*map(range, stride)), strict=True):
            targets = [slice(first, None, step) for first, step in zip(parity, stride, strict=True)]
            sources = [slice(first, first + n) for first, n in zip(parity, slab_shape, strict=True)]
            output[:, :, *targets] = values[:, :, *sources]
    return large


def _summed_weights(weight: Tensor, stride: Triple) -> Tensor:
    """Return the weights on the small map: (channels, in_channels, product of stride + 2)."""
    z, y, x = (torch.tensor(_SUMS[step]).to(weight) for step in stride)
    return weight.flatten(2) @ torch.kron(torch.kron(z, y), x)
