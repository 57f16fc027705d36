"""Check whether the CPU of this machine can train in bfloat16."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

_GRIDS = ((2, 4, 4), (4, 6, 6), (8, 12, 12))
"""Grids of the check. Without AMX, the weight gradient on the smallest is wrong or NaN (oneDNN of torch 2.13)."""

_LARGEST_ERROR = 0.02
"""Relative error of a gradient above which a CPU isn't used; rounding to bfloat16 causes about 0.005."""


def cpu_bfloat16_problem() -> str | None:
    """Return why 3D convolutions in bfloat16 can't be used on this machine's CPU; None if they can."""
    capabilities: Mapping[str, object] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # older versions of torch lack it
    if not capabilities.get("amx_bf16", False):
        return "It has no AMX: convolutions in bfloat16 are slow there, and have wrong gradients on small grids."
    for grid in _GRIDS:
        error = _gradient_error(grid)
        if not error < _LARGEST_ERROR:
            return f"The gradient of a convolution on a grid of {'×'.join(map(str, grid))} is wrong there."
    return None


def _gradient_error(grid: tuple[int, int, int]) -> float:
    """Return the relative error of a convolution's gradients in bfloat16, as the larger of input and weight."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 32, *grid, generator=generator).requires_grad_()
    weight = (0.05 * torch.randn(32, 32, 3, 3, 3, generator=generator)).requires_grad_()
    upstream = torch.randn(2, 32, *grid, generator=generator)

    def gradients(dtype: torch.dtype) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            result = functional.conv3d(values.to(dtype), weight.to(dtype), padding=1)
            return torch.autograd.grad(result, (values, weight), upstream.to(dtype))

    pairs = zip(gradients(torch.bfloat16), gradients(torch.float64), strict=True)
    return max(float((rounded - exact).norm() / exact.norm()) for rounded, exact in pairs)
