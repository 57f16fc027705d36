"""Check of the Triton kernels on the device that is to use them, against the PyTorch implementations."""

import logging
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.kernels.interfaces import ConvolutionKernels, NormKernels
from gynbtnet.sparse.packed import empty_rows

_LOG = logging.getLogger(__name__)
_Kernels = TypeVar("_Kernels", ConvolutionKernels, NormKernels)

TOLERANCES = {torch.float32: 0.01, torch.float16: 0.005, torch.bfloat16: 0.03}
"""Largest error of any value, as a share of its magnitude plus the root mean square of its tensor.

The reference is the PyTorch implementation in double precision, with inputs rounded to the type. Rounding a result once
gives a share of 0.0005 in float16 and 0.004 in bfloat16. TensorFloat-32 gives up to about 0.004 in float32."""

BLOCK: Triple = (8, 8, 8)
"""Voxels (z, y, x) of a block of the check's convolution."""
CHANNELS = (48, 80)
"""Input and output channels of the check's convolution; its norm has the input's."""
SEGMENTS = (3000, 1500)
"""Numbers of rows of the check's norm."""
_SLOPE = 0.01


@cache
def checked_convolution(reference: ConvolutionKernels, device: torch.device) -> ConvolutionKernels | None:
    """Return the implicit matrix product if its values and gradients agree with the reference on the device.

    The choice and its reason are logged, once per process and device.

    Args:
        reference: PyTorch implementation. The product uses it in double precision.
        device: The device.

    Returns:
        The implementation in Triton, for stride 1; None if Triton isn't installed, fails or disagrees.
    """

    def load() -> ConvolutionKernels:
        from gynbtnet.sparse.triton_kernels.block_convolution import BlockConvolution

        return BlockConvolution(reference)

    return _checked("convolutions of large blocks", load, reference, convolution_results, device)


@cache
def checked_norm(reference: NormKernels, device: torch.device) -> NormKernels | None:
    """Return the segmented norm if its values and gradients agree with the reference on the device.

    The choice and its reason are logged, once per process and device.

    Args:
        reference: PyTorch implementation. The segmented norm uses it in double precision.
        device: The device.

    Returns:
        The implementation in Triton; None if Triton isn't installed, fails or disagrees.
    """

    def load() -> NormKernels:
        from gynbtnet.sparse.triton_kernels.segmented_norm import SegmentedNorm

        return SegmentedNorm(reference)

    return _checked("norms", load, reference, norm_results, device)


def _checked(
    layers: str,
    load: Callable[[], _Kernels],
    reference: _Kernels,
    results: Callable[[_Kernels, torch.device, torch.dtype, torch.dtype], dict[str, Tensor]],
    device: torch.device,
) -> _Kernels | None:
    """Return the loaded kernels if they agree with the reference, and log the choice."""
    try:
        kernels = load()
    except ImportError as error:
        _LOG.info("Sparse %s on %s use PyTorch: %s (pip install 'gynbtnet[gpu]').", layers, device, error)
        return None
    try:
        difference = _difference(kernels, reference, results, device)
    except Exception as error:  # a compiler and a driver may fail in many ways
        _LOG.warning(
            *("Sparse %s on %s use PyTorch: the Triton kernel fails with %s: %s", layers, device),
            *(type(error).__name__, error),
        )
        return None
    if difference is not None:
        _LOG.warning("Sparse %s on %s use PyTorch: the Triton kernel disagrees, %s.", layers, device, difference)
        return None
    _LOG.info("Sparse %s on %s use the Triton kernel: it agrees with PyTorch in all values.", layers, device)
    return kernels


@torch.no_grad()
def _difference(
    kernels: _Kernels,
    reference: _Kernels,
    results: Callable[[_Kernels, torch.device, torch.dtype, torch.dtype], dict[str, Tensor]],
    device: torch.device,
) -> str | None:
    """Return a description of the first result that differs by more than its tolerance, if there is one."""
    with torch.autocast(device.type, enabled=False):
        for dtype, tolerance in TOLERANCES.items():
            expected = results(reference, device, dtype, torch.float64)
            for name, values in results(kernels, device, dtype, dtype).items():
                scale = expected[name].abs() + expected[name].square().mean().sqrt()
                error = ((values.double() - expected[name]).abs() / scale).max().item()
                if not error <= tolerance:  # also if it is not a number
                    return f"its {name} in {dtype} by {error:.2g}, of at most {tolerance:g}"
    return None


def convolution_results(
    kernels: ConvolutionKernels, device: torch.device, rounded_to: torch.dtype, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return values and gradients of a 3×3×3 convolution of random blocks, two samples with unequal numbers of them.

    Args:
        kernels: Implementation of the convolution.
        device: Device that it computes on.
        rounded_to: Type that the random inputs are rounded to.
        dtype: Type in which it computes.

    Returns:
        By name: the values, and the gradients of the weight and of the input.
    """
    draw = _Random(device, rounded_to, dtype)
    mask = torch.tensor([1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0], dtype=torch.bool).view(2, 2, 2, 2)
    active = ActiveBlocks(mask, device)
    rows = len(active) * BLOCK[0] * BLOCK[1] * BLOCK[2]
    in_channels, out_channels = CHANNELS
    padded, grad = empty_rows(draw(1), rows, in_channels), empty_rows(draw(1), rows, out_channels)
    padded[:-1], grad[:-1] = draw(rows, in_channels), draw(rows, out_channels)
    weight, bias, grad_input = draw(out_channels, in_channels, 3, 3, 3), draw(out_channels), draw(rows, in_channels)
    layer = active, BLOCK, (1, 1, 1)
    kernels.add_input_gradient(grad_input, grad, weight, *layer)
    return {
        "values": kernels.forward(padded, weight, bias, *layer),
        "weight's gradient": kernels.weight_gradient(grad, padded, weight, *layer),
        "input's gradient": grad_input,
    }


def norm_results(
    kernels: NormKernels, device: torch.device, rounded_to: torch.dtype, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return values and gradients of a norm of random rows in two segments of unequal length.

    Args:
        kernels: Implementation of the norm.
        device: Device that it computes on.
        rounded_to: Type that the random inputs are rounded to.
        dtype: Type in which it computes; parameters are in single precision if it has 16 bits.

    Returns:
        By name: the values, moments and gradients.
    """
    draw = _Random(device, rounded_to, dtype)
    segments, channels = SEGMENTS, CHANNELS[0]
    rows, shortcut, grad = (draw(sum(segments), channels) for _ in range(3))
    weight, bias = (draw(channels).to(torch.promote_types(dtype, torch.float32)) for _ in range(2))
    out, alone = torch.empty_like(rows), torch.empty_like(rows)
    moments = kernels.forward(rows, segments, weight, bias, 1e-5, out, slope=_SLOPE, shortcut=shortcut)
    kernels.apply(rows, segments, moments, weight, bias, alone)
    fixed = grad.clone()
    activated = draw(sum(segments), channels)
    grads = kernels.backward(grad, rows, segments, moments, weight, slope=_SLOPE, activated=activated)
    kernels.backward(fixed, rows, segments, moments, weight, fixed_moments=True)
    return {
        "values": out,
        "values without activation": alone,
        "mean": moments[0],
        "variance": moments[1],
        "input's gradient": grad,
        "input's gradient with fixed moments": fixed,
        "weight's gradient": grads[0],
        "bias's gradient": grads[1],
    }


class _Random:
    """Normally distributed tensors, the same for each type and device."""

    def __init__(self, device: torch.device, rounded_to: torch.dtype, dtype: torch.dtype) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self._device, self._rounded_to, self._dtype = device, rounded_to, dtype

    def __call__(self, *shape: int) -> Tensor:
        values = torch.randn(shape, generator=self._generator)
        return values.to(self._rounded_to).to(self._device, self._dtype)
