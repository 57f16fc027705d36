"""Normalisation over active voxels, with a dense norm's own parameters."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.packed import Packed, empty_rows

Moments = tuple[Tensor, Tensor]
"""Of each segment and channel, both (segments, C): the mean, and the variance with the norm's epsilon added."""

_batch_norm_into = torch.ops.aten.native_batch_norm.out
_batch_norm_backward = torch.ops.aten.native_batch_norm_backward.default

VALUES_AT_ONCE = 2**22
"""Values that are widened to single precision at a time: 16 MB."""


@dataclass(frozen=True)
class Norm:
    """A norm at one place of the network, its values and gradients without an autograd graph.

    Attributes:
        segments: rows normalised together: each sample's for an instance norm, the batch's for a batch norm.
        eps: added to the variance.
        running: mean and variance to use instead of the rows' own.
        shared: whether the rows of all processes count as one batch.
        values_at_once: number of values that are widened to single precision at a time.
    """

    segments: list[int]
    eps: float
    running: Moments | None = None
    shared: bool = False
    values_at_once: int = VALUES_AT_ONCE

    def forward(self, rows: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Moments:
        """Write the normalised rows into ``out``."""
        if self.running is not None:
            mean, variance = self.running
            moments = mean[None], variance[None] + self.eps
            self.again(rows, moments, weight, bias, out)
            return moments
        means, variances = [], []
        for y, into in zip(self._parts(rows), self._parts(out), strict=True):
            statistics = weight.new_empty(2, len(weight))
            mean, deviation = statistics
            _batch_norm_into(
                *(_channels_last(y), weight, bias, None, None, True, 0.0, self.eps),
                out=_channels_last(into),
                save_mean=mean,
                save_invstd=deviation,
            )
            means.append(mean)
            variances.append(deviation**-2)
        moments = torch.stack(means), torch.stack(variances)
        if self.shared:
            moments = self._over_processes(moments)
            self.again(rows, moments, weight, bias, out)
        return moments

    def again(self, rows: Tensor, moments: Moments, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        """Write the normalised rows into ``out``, from moments found before."""
        for y, into, *known in zip(self._parts(rows), self._parts(out), *moments, strict=True):
            _batch_norm_into(
                *(_channels_last(y), weight, bias, *known, False, 0.0, 0.0),
                out=_channels_last(into),
                save_mean=torch.empty_like(weight),
                save_invstd=torch.empty_like(weight),
            )

    def backward(self, grad: Tensor, rows: Tensor, moments: Moments, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Turn ``grad`` of the normalised rows into that of ``rows``, in place; gradients of weight and bias.

        All arithmetic per channel is in the weight's precision, and each value is rounded once. The saved statistics
        are always given: CUDA refuses the call without them, and a CPU does not.
        """
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        for g, y, mean, variance in zip(self._parts(grad), self._parts(rows), *moments, strict=True):
            trains = self.running is None
            found, along, total = _batch_norm_backward(
                *(_channels_last(g), _channels_last(y), weight, mean, variance, mean, variance.rsqrt()),
                *(trains, 0.0, [not self.shared, True, True]),
            )
            grad_weight += along
            grad_bias += total
            if self.shared:
                self._subtract_totals(g, y, mean, variance, weight, along, total)
            else:
                g.copy_(_rows(found))
        return grad_weight, grad_bias

    def _subtract_totals(
        self, grad: Tensor, rows: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, along: Tensor, total: Tensor
    ) -> None:
        """The gradient of ``rows``, in place, from the sums over all processes."""
        sums = torch.stack((along, total, torch.full_like(total, len(rows))))
        distributed.all_reduce(sums)
        along, total, count = sums
        scale = weight * variance.rsqrt()
        slope = -weight * variance.reciprocal() * along / count
        shift = -scale * total / count - slope * mean
        at_once = max(1, self.values_at_once // len(weight))
        for g, y in zip(torch.split(grad, at_once), torch.split(rows, at_once), strict=True):
            g.copy_((g * scale).addcmul_(y, slope).add_(shift))

    def gradient_of_constant(self, grad: Tensor) -> Tensor:
        """The gradient of what was added to every row, from the rows' own: none where their mean is taken away."""
        return grad.sum(0) if self.running is not None else grad.new_zeros(grad.shape[1])

    def _parts(self, rows: Tensor) -> tuple[Tensor, ...]:
        return torch.split(rows, self.segments)

    def _over_processes(self, moments: Moments) -> Moments:
        (mean,), (variance,) = moments
        count = sum(self.segments)
        counts = torch.full_like(mean, count)
        sums = torch.stack((counts, count * mean))
        distributed.all_reduce(sums)
        together = sums[1] / sums[0]
        spread = count * (variance + (mean - together) ** 2)
        distributed.all_reduce(spread)
        return together[None], (spread / sums[0])[None]

    def remember(self, moments: Moments, norm: nn.InstanceNorm3d | nn.BatchNorm3d) -> None:
        """Count the batch into a batch norm's running statistics, as it does itself: the variance without bias."""
        if not isinstance(norm, nn.BatchNorm3d) or self.running is not None or norm.running_mean is None:
            return
        assert norm.running_var is not None and norm.num_batches_tracked is not None
        (mean,), (variance,) = moments
        count = torch.full_like(mean, sum(self.segments))
        if self.shared:
            distributed.all_reduce(count)
        norm.num_batches_tracked += 1
        share = 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.lerp_(mean, share)
        norm.running_var.lerp_((variance - norm.eps) * count / (count - 1), share)


def plan_norm(norm: nn.InstanceNorm3d | nn.BatchNorm3d, active: ActiveBlocks, voxels: int) -> Norm:
    """``norm`` at a place where blocks have ``voxels`` voxels.

    An instance norm takes each sample's active voxels. A batch norm takes the batch's, and while torch.distributed runs
    those of every process; out of training its running statistics.
    """
    samples = [count * voxels for count in active.counts]
    if isinstance(norm, nn.InstanceNorm3d):
        return Norm(samples, norm.eps)
    if not norm.training and norm.running_mean is not None and norm.running_var is not None:
        return Norm([sum(samples)], norm.eps, (norm.running_mean, norm.running_var))
    together = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    return Norm([sum(samples)], norm.eps, shared=together)


def normalise(packed: Packed, norm: nn.InstanceNorm3d | nn.BatchNorm3d) -> Packed:
    """Normalise by the mean and variance of active voxels: of each sample for an instance norm, else of the batch.

    A batch norm counts active voxels into its running statistics while it trains, and uses those afterwards.
    """
    plan = plan_norm(norm, packed.active, len(packed.rows) // len(packed.active))
    result: Tensor = _Normalise.apply(packed.padded, norm.weight, norm.bias, plan, norm)  # type: ignore[no-untyped-call]
    return Packed(result, packed.block, packed.active)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, padded: Tensor, weight: Tensor, bias: Tensor, plan: Norm, norm: nn.InstanceNorm3d | nn.BatchNorm3d
    ) -> Tensor:
        result = empty_rows(padded, len(padded) - 1, len(weight))
        moments = plan.forward(padded[:-1], weight, bias, result[:-1])
        plan.remember(moments, norm)
        ctx.save_for_backward(padded, weight, *moments)
        ctx.plan = plan
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        padded, weight, *moments = ctx.saved_tensors
        grad = grad.clone()
        grad[-1] = 0
        plan: Norm = ctx.plan
        return grad, *plan.backward(grad[:-1], padded[:-1], (moments[0], moments[1]), weight), None, None


def _channels_last(rows: Tensor) -> Tensor:
    """Rows (M, C) seen as (1, C, M, 1): CUDA has fast channels-last kernels for four axes, and for no more."""
    return rows.t()[None, :, :, None]


def _rows(channels_last: Tensor) -> Tensor:
    """The inverse of :func:`_channels_last`."""
    return channels_last[0, :, :, 0].t()
