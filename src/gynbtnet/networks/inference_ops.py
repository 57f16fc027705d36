"""A network's steps where no gradient is wanted: the numbers of the usual ones, on a CPU with less memory and time.

Convolutions run slab by slab, so that their copies in another memory layout are a slab's, and can be added onto what
is there; norms are computed in place. Whatever gradients are wanted of takes PyTorch's own way.
``benchmarks/prediction.py`` measures the whole.
"""

from collections.abc import Iterator
from math import ceil
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d

from gynbtnet.runtime.array_types import Triple

_SLAB = 2**22  # values of a slab's input or output, whichever is more
_LARGE = 2**12  # voxels below which a norm in place saves nothing worth a loop


def is_cpu_inference(x: Tensor) -> bool:
    """Whether a step on ``x`` runs in these forms: without gradients, on a CPU, in no graph that is recorded, and in no
    autocast, which would not see them.
    """
    changed = torch.compiler.is_compiling() or torch.compiler.is_exporting() or torch.is_autocast_enabled("cpu")
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not changed


def convolve(conv: nn.Conv3d, x: Tensor, onto: Tensor | None = None) -> Tensor:
    """``conv(x)``, or ``onto`` after that was added to it; ``conv`` is padded so that a stride of 1 keeps the size."""
    if not is_cpu_inference(x):
        return conv(x) if onto is None else onto.add_(conv(x))
    return convolve_with(x, conv.weight, conv.bias, cast("Triple", conv.stride), onto)


def convolve_inplace(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """``conv(x)`` of as many channels as ``x`` has, in the place of ``x`` where no gradient is wanted."""
    if not is_cpu_inference(x):
        return cast("Tensor", conv(x))
    for z, part in convolve_slabs(x, conv.weight, conv.bias):
        x[:, :, z] = part
    return x


def convolve_with(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Triple = (1, 1, 1), onto: Tensor | None = None
) -> Tensor:
    """:func:`convolve` with a weight and a bias."""
    if not is_cpu_inference(x) or stride != (1, 1, 1):
        y = _convolution(x, weight, bias, stride, cast("Triple", tuple(n // 2 for n in weight.shape[2:])))
        return y if onto is None else onto.add_(y)
    y = x.new_empty(len(x), len(weight), *x.shape[2:]) if onto is None else onto
    for z, part in convolve_slabs(x, weight, bias):
        if onto is None:
            y[:, :, z] = part
        else:
            y[:, :, z] += part
    return y


def convolve_slabs(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
    """A convolution of stride 1 of (B, in_channels, D, H, W), padded with half the kernel.

    Yields:
        Slices of ``x``, which may be overwritten then, and what comes out for them: as many slices, or from a kernel of
        even size one more, whose last is the next slab's first.
    """
    slices, half = x.shape[2], weight.shape[2] // 2
    beside = tuple(n // 2 for n in weight.shape[3:])
    count = ceil(x[:, 0].numel() * max(weight.shape[:2]) / _SLAB)
    thickness = ceil(slices / count)
    before = x.new_zeros(*x.shape[:2], half, *x.shape[3:])
    for low in range(0, slices, thickness):
        high = min(low + thickness, slices)
        seen = torch.cat((before, x[:, :, low : high + half], before[:, :, : max(high + half - slices, 0)]), dim=2)
        if high + half > slices:
            seen[:, :, high - low + half :] = 0
        before = x[:, :, high - half : high].clone()
        yield slice(low, high), _convolution(seen, weight, bias, (1, 1, 1), (0, beside[0], beside[1]))


def normalise(norm: nn.Module, x: Tensor) -> Tensor:
    """``norm(x)``, which takes the place of ``x`` where that is large and no gradient wanted.

    Channel by channel, so that all steps but the first find it in the cache, and with BLAS's scalar product for the
    variance, of values whose mean was taken off before.
    """
    if (
        not is_cpu_inference(x)
        or not isinstance(norm, nn.InstanceNorm3d)
        or x[0, 0].numel() < _LARGE
        or not x.is_contiguous()
    ):
        return norm(x)  # type: ignore[no-any-return]
    for image in x:
        for channel, values in enumerate(image.flatten(1)):
            values -= values.mean()
            scale = torch.rsqrt(torch.dot(values, values) / len(values) + norm.eps)
            if norm.affine:
                values.mul_(scale * norm.weight[channel]).add_(norm.bias[channel])
            else:
                values *= scale
    return x


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple) -> Tensor:
    """PyTorch gives a single image of few values to a form of its own that is several times slower than oneDNN's."""
    on_cpu = is_cpu_inference(x) and x.dtype == torch.float32
    if on_cpu and weight.shape[-1] > 1 and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return torch.mkldnn_convolution(x, weight, bias, padding, stride, (1, 1, 1), 1)
    return conv3d(x, weight, bias, stride, padding)
