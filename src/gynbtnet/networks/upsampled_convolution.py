"""A 3×3×3 convolution of a nearest-upsampled map, computed on the small map."""

from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose3d

from gynbtnet.networks.inference_ops import convolve_slabs
from gynbtnet.runtime.array_types import Triple

_SUMS = {
    1: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    2: ((1, 1, 0, 0), (0, 1, 1, 0), (0, 0, 1, 1)),
}
"""Which of an axis's 3 weights (rows) are summed into the weights on the small map (columns): in order, the first of an
even place, the first of an odd one, the second of an even one, the second of an odd one. Of the three voxels that an
output reads, two lie in the same voxel of the small map."""

_INTERLEAVED = (
    64  # channels up to which eight convolutions in one outrun the transposed one where no gradient is wanted
)


def convolve_upsampled(small: Tensor, weight: Tensor, stride: Triple) -> Tensor:
    """What ``conv3d(upsample(small), weight, padding=1)`` gives, to rounding, without the upsampled map.

    Along an upsampled axis each output reads two voxels of the small map, by summed weights: eight convolutions of
    2×2×2, one for each parity of the output's place, and 8 products where there were 27. Together they are one
    transposed convolution of kernel 4 and stride 2, which has the faster gradients; without gradients, and for few
    channels, it is faster to compute all parities side by side and interleave them. ``benchmarks/decoder.py`` measures
    both.

    Args:
        small: (B, in_channels, d, h, w).
        weight: (channels, in_channels, 3, 3, 3).
        stride: how often each voxel is repeated along (z, y, x), 1 or 2.

    Returns:
        (B, channels, d · stride, …).
    """
    if torch.is_grad_enabled() or weight.shape[0] > _INTERLEAVED:
        return _transposed(small, weight, stride)
    return _interleaved(small, weight, stride)


def _transposed(small: Tensor, weight: Tensor, stride: Triple) -> Tensor:
    kernel = _summed(weight, stride).flip(2)  # a transposed convolution reads its kernel backwards
    kernel = kernel.view(*weight.shape[:2], *(step + 2 for step in stride))
    return conv_transpose3d(small, kernel.transpose(0, 1), stride=stride, padding=1)


def _interleaved(small: Tensor, weight: Tensor, stride: Triple) -> Tensor:
    channels = len(weight)
    z, y, x = stride
    kernel = _summed(weight, stride).view(*weight.shape[:2], 4 - z, z, 4 - y, y, 4 - x, x)
    kernel = kernel.permute(3, 5, 7, 0, 1, 2, 4, 6).flatten(0, 3)
    _, height, width = sizes = small.shape[2:]
    large = small.new_empty(len(small), channels, *(n * step for n, step in zip(sizes, stride, strict=True)))
    for slices, every in convolve_slabs(small, kernel):
        written = large[:, :, slices.start * z : slices.stop * z]
        read_sizes = (slices.stop - slices.start, height, width)
        parts = every.tensor_split(z * y * x, dim=1)
        for part, parity in zip(parts, product(*map(range, stride)), strict=True):
            places = [slice(first, None, step) for first, step in zip(parity, stride, strict=True)]
            read = [slice(first, first + n) for first, n in zip(parity, read_sizes, strict=True)]
            written[:, :, *places] = part[:, :, *read]
    return large


def _summed(weight: Tensor, stride: Triple) -> Tensor:
    """(channels, in_channels, product of stride + 2); a matrix product, so that its gradients are autograd's."""
    z, y, x = (torch.tensor(_SUMS[step]).to(weight) for step in stride)
    return weight.flatten(2) @ torch.kron(torch.kron(z, y), x)
