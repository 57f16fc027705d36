"""Interfaces of the implementations of a sparse layer, of which each device has its own choice."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks

Moments = tuple[Tensor, Tensor]
"""Mean, and variance plus the norm's epsilon, per segment and channel; both are (segments, C)."""


class ConvolutionKernels(Protocol):
    """Values and gradients of a 3×3×3 convolution of packed blocks.

    Rows are padded: (N·V + 1, C), the last row contains zeros. ``block`` is the block's shape at the input.
    """

    def forward(
        self, padded: Tensor, weight: Tensor, bias: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> Tensor:
        """Return rows (N·V / stride, C_out) for padded rows of the input."""
        ...

    def weight_gradient(
        self, grad: Tensor, padded: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> Tensor:
        """Return the weight's gradient, from the padded gradient of the output and the padded rows of the input."""
        ...

    def add_input_gradient(
        self, grad_input: Tensor, grad: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> None:
        """Add the input's gradient to ``grad_input`` (N·V, C_in), from the padded gradient of the output."""
        ...


class NormKernels(Protocol):
    """Values and gradients of LeakyReLU(norm(rows) + shortcut), with a mean and a variance per segment of rows.

    Statistics and parameters are in single precision or better. ``segments`` are the numbers of rows of the segments,
    in order. ``slope`` is that of LeakyReLU; at 1 there is no activation.
    """

    def forward(
        self,
        rows: Tensor,
        segments: Sequence[int],
        weight: Tensor,
        bias: Tensor,
        eps: float,
        out: Tensor,
        *,
        slope: float = 1.0,
        shortcut: Tensor | None = None,
    ) -> Moments:
        """Write the result for the rows' own moments into ``out``, and return these moments."""
        ...

    def apply(
        self,
        rows: Tensor,
        segments: Sequence[int],
        moments: Moments,
        weight: Tensor,
        bias: Tensor,
        out: Tensor,
        *,
        slope: float = 1.0,
        shortcut: Tensor | None = None,
    ) -> None:
        """Write the result for given moments into ``out``."""
        ...

    def backward(
        self,
        grad: Tensor,
        rows: Tensor,
        segments: Sequence[int],
        moments: Moments,
        weight: Tensor,
        *,
        fixed_moments: bool = False,
        slope: float = 1.0,
        activated: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Replace ``grad``, of the result, by the gradient of ``rows``; return those of weight and bias.

        ``activated`` is the result, needed unless ``slope`` is 1. With ``fixed_moments``, the moments are constants.
        """
        ...
