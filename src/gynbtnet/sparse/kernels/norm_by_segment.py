"""Norm of rows segment by segment, by PyTorch's batch norm."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from gynbtnet.sparse.kernels.interfaces import Moments

_batch_norm_into = torch.ops.aten.native_batch_norm.out
_batch_norm_backward = torch.ops.aten.native_batch_norm_backward.default
_leaky_relu_backward_into = torch.ops.aten.leaky_relu_backward.grad_input


@dataclass(frozen=True)
class NormBySegment:
    """One call of PyTorch's batch norm per segment: no temporary memory, many calls."""

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
        means, variances = [], []
        for y, target in zip(_split(rows, segments), _split(out, segments), strict=True):
            statistics = weight.new_empty(2, len(weight))
            mean, deviation = statistics
            _batch_norm_into(
                *(_channels_last(y), weight, bias, None, None, True, 0.0, eps),
                out=_channels_last(target),
                save_mean=mean,
                save_invstd=deviation,
            )
            means.append(mean)
            variances.append(deviation**-2)
        activate_(out, slope, shortcut)
        return torch.stack(means), torch.stack(variances)

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
        for y, target, *statistics in zip(_split(rows, segments), _split(out, segments), *moments, strict=True):
            _batch_norm_into(
                *(_channels_last(y), weight, bias, *statistics, False, 0.0, 0.0),
                out=_channels_last(target),
                save_mean=torch.empty_like(weight),
                save_invstd=torch.empty_like(weight),
            )
        activate_(out, slope, shortcut)

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

        All arithmetic per channel is in the weight's precision, and each value is rounded once.
        """
        activation_gradient_(grad, slope, activated)
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        for g, y, mean, variance in zip(_split(grad, segments), _split(rows, segments), *moments, strict=True):
            grad_rows, grad_scale, grad_shift = norm_gradients(g, y, mean, variance, weight, fixed_moments)
            g.copy_(grad_rows)
            grad_weight += grad_scale
            grad_bias += grad_shift
        return grad_weight, grad_bias


def norm_gradients(
    grad: Tensor, rows: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, fixed_moments: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the rows of one segment, of the weight and of the bias.

    The saved statistics are always passed: CUDA refuses the call without them, and a CPU does not.
    """
    grad_rows, grad_weight, grad_bias = _batch_norm_backward(
        *(_channels_last(grad), _channels_last(rows), weight, mean, variance, mean, variance.rsqrt()),
        *(not fixed_moments, 0.0, [True, True, True]),
    )
    return grad_rows[0, :, :, 0].t(), grad_weight, grad_bias


def activate_(values: Tensor, slope: float, shortcut: Tensor | None) -> None:
    """Add the shortcut and compute LeakyReLU in place."""
    if shortcut is not None:
        values += shortcut
    if slope != 1:
        leaky_relu(values, slope, inplace=True)


def activation_gradient_(grad: Tensor, slope: float, activated: Tensor | None) -> None:
    """Multiply ``grad`` in place by the derivative of LeakyReLU, whose results are ``activated``."""
    if slope != 1:
        assert activated is not None, "the gradient of LeakyReLU needs its result"
        _leaky_relu_backward_into(grad, activated, slope, True, grad_input=grad)


def _split(rows: Tensor, segments: Sequence[int]) -> tuple[Tensor, ...]:
    return torch.split(rows, list(segments))


def _channels_last(rows: Tensor) -> Tensor:
    """Return a view (1, C, M, 1) of rows (M, C): CUDA has fast channels-last kernels for four axes only."""
    return rows.t()[None, :, :, None]
