"""Convolutions that run slab by slab on a CPU.

oneDNN copies its input and output into its own memory layout. Slab by slab these copies are small, and the results can
be added to a map, or written over the input. All functions are for tensors on a CPU without gradients.
"""

from collections.abc import Iterator
from math import ceil
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import conv3d

from gynbtnet.runtime.array_types import Triple


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, *, slab_values: int) -> Tensor:
    """Return the convolution of (B, in_channels, D, H, W), padded with half the kernel."""
    if stride != (1, 1, 1):
        return _convolve_at_once(x, weight, bias, stride, cast("Triple", tuple(n // 2 for n in weight.shape[2:])))
    y = x.new_empty(len(x), len(weight), *x.shape[2:])
    for slices, slab in convolve_slabs(x, weight, bias, slab_values=slab_values):
        y[:, :, slices] = slab
    return y


def add_convolution_inplace(
    y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, *, slab_values: int
) -> Tensor:
    """Add the convolution of ``x``, as in :func:`convolve`, to ``y`` in place; returns ``y``."""
    if stride != (1, 1, 1):
        return y.add_(convolve(x, weight, bias, stride, slab_values=slab_values))
    for slices, slab in convolve_slabs(x, weight, bias, slab_values=slab_values):
        y[:, :, slices] += slab
    return y


def convolve_inplace(x: Tensor, weight: Tensor, bias: Tensor | None, *, slab_values: int) -> Tensor:
    """Write the convolution of ``x``, with as many output as input channels, over ``x``; returns ``x``."""
    for slices, slab in convolve_slabs(x, weight, bias, slab_values=slab_values):
        x[:, :, slices] = slab
    return x


def convolve_slabs(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, slab_values: int
) -> Iterator[tuple[slice, Tensor]]:
    """Compute a convolution with stride 1, padded with half the kernel, one slab of slices after the other.

    Args:
        x: (B, in_channels, D, H, W).
        weight: (channels, in_channels, …).
        bias: (channels,), or None.
        slab_values: Values of a slab's input or output, the larger of the two.

    Yields:
        A range of slices of ``x``, which may be overwritten from then on, and the result for them. A kernel of even
        depth gives one slice more, and its last slice is the next slab's first.
    """
    depth, half = x.shape[2], weight.shape[2] // 2
    padding = (0, weight.shape[3] // 2, weight.shape[4] // 2)
    slabs = ceil(x[:, 0].numel() * max(weight.shape[:2]) / slab_values)
    thickness = ceil(depth / slabs)
    before = x.new_zeros(*x.shape[:2], half, *x.shape[3:])
    for low in range(0, depth, thickness):
        high = min(low + thickness, depth)
        missing = max(high + half - depth, 0)
        padded = torch.cat((before, x[:, :, low : high + half], before[:, :, :missing]), dim=2)
        if missing:
            padded[:, :, high - low + half :] = 0
        before = x[:, :, high - half : high].clone()
        yield slice(low, high), _convolve_at_once(padded, weight, bias, (1, 1, 1), padding)


def _convolve_at_once(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple) -> Tensor:
    """Convolve with oneDNN; for a single image of few values PyTorch uses its own form, which is several times slower.

    oneDNN computes in float32 only; other types use PyTorch's choice.
    """
    if (
        x.dtype == torch.float32 and weight.shape[-1] > 1 and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    ):
        return torch.mkldnn_convolution(x, weight, bias, padding, stride, (1, 1, 1), 1)
    return conv3d(x, weight, bias, stride, padding)
