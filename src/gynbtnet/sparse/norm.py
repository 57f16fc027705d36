"""Normalisation over active voxels, with the parameters of a dense norm."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.packed import Packed, empty_rows

Moments = tuple[Tensor, Tensor]
"""Mean, and variance plus the norm's epsilon, per segment and channel; both are (segments, C)."""

_batch_norm_into = torch.ops.aten.native_batch_norm.out
_batch_norm_backward = torch.ops.aten.native_batch_norm_backward.default

VALUES_PER_CHUNK = 2**22
"""Values that are converted to single precision at a time: 16 MB."""


@dataclass(frozen=True)
class Norm:
    """A norm of one layer: its values and gradients, without an autograd graph.

    Attributes:
        segments: Numbers of rows that are normalised together: per sample for an instance norm, the whole batch for a
            batch norm.
        eps: Number that is added to the variance.
        running: Mean and variance to use. None: those of the rows.
        shared: If true, the rows of all processes count as one batch.
        values_per_chunk: Values that are converted to single precision at a time.
    """

    segments: list[int]
    eps: float
    running: Moments | None = None
    shared: bool = False
    values_per_chunk: int = VALUES_PER_CHUNK

    def forward(self, rows: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Moments:
        """Write the normalised rows into ``out``, and return their moments."""
        if self.running is not None:
            mean, variance = self.running
            moments = mean[None], variance[None] + self.eps
            self.apply_moments(rows, moments, weight, bias, out)
            return moments
        means, variances = [], []
        for y, target in zip(self._split(rows), self._split(out), strict=True):
            statistics = weight.new_empty(2, len(weight))
            mean, deviation = statistics
            _batch_norm_into(
                *(_channels_last(y), weight, bias, None, None, True, 0.0, self.eps),
                out=_channels_last(target),
                save_mean=mean,
                save_invstd=deviation,
            )
            means.append(mean)
            variances.append(deviation**-2)
        moments = torch.stack(means), torch.stack(variances)
        if self.shared:
            moments = self._reduce_over_processes(moments)
            self.apply_moments(rows, moments, weight, bias, out)
        return moments

    def apply_moments(self, rows: Tensor, moments: Moments, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        """Write the rows, normalised by given moments, into ``out``."""
        for y, target, *statistics in zip(self._split(rows), self._split(out), *moments, strict=True):
            _batch_norm_into(
                *(_channels_last(y), weight, bias, *statistics, False, 0.0, 0.0),
                out=_channels_last(target),
                save_mean=torch.empty_like(weight),
                save_invstd=torch.empty_like(weight),
            )

    def backward(self, grad: Tensor, rows: Tensor, moments: Moments, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Replace ``grad``, of the normalised rows, by the gradient of ``rows``; return those of weight and bias.

        All arithmetic per channel is in the weight's precision, and each value is rounded once. The saved statistics
        are always passed: CUDA refuses the call without them, and a CPU does not.
        """
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        for g, y, mean, variance in zip(self._split(grad), self._split(rows), *moments, strict=True):
            trains = self.running is None
            grad_rows, grad_scale, grad_shift = _batch_norm_backward(
                *(_channels_last(g), _channels_last(y), weight, mean, variance, mean, variance.rsqrt()),
                *(trains, 0.0, [not self.shared, True, True]),
            )
            grad_weight += grad_scale
            grad_bias += grad_shift
            if self.shared:
                self._subtract_totals(g, y, mean, variance, weight, grad_scale, grad_shift)
            else:
                g.copy_(_rows(grad_rows))
        return grad_weight, grad_bias

    def _subtract_totals(
        self,
        grad: Tensor,
        rows: Tensor,
        mean: Tensor,
        variance: Tensor,
        weight: Tensor,
        grad_scale: Tensor,
        grad_shift: Tensor,
    ) -> None:
        """Replace ``grad`` by the gradient of ``rows``, from the sums over all processes."""
        sums = torch.stack((grad_scale, grad_shift, torch.full_like(grad_shift, len(rows))))
        distributed.all_reduce(sums)
        grad_scale, grad_shift, count = sums
        scale = weight * variance.rsqrt()
        slope = -weight * variance.reciprocal() * grad_scale / count
        shift = -scale * grad_shift / count - slope * mean
        chunk = max(1, self.values_per_chunk // len(weight))
        for g, y in zip(torch.split(grad, chunk), torch.split(rows, chunk), strict=True):
            g.copy_((g * scale).addcmul_(y, slope).add_(shift))

    def gradient_of_constant(self, grad: Tensor) -> Tensor:
        """Return the gradient of a constant added to all rows; it is zero if the norm subtracts the rows' mean."""
        return grad.sum(0) if self.running is not None else grad.new_zeros(grad.shape[1])

    def _split(self, rows: Tensor) -> tuple[Tensor, ...]:
        return torch.split(rows, self.segments)

    def _reduce_over_processes(self, moments: Moments) -> Moments:
        (mean,), (variance,) = moments
        count = sum(self.segments)
        counts = torch.full_like(mean, count)
        sums = torch.stack((counts, count * mean))
        distributed.all_reduce(sums)
        total_mean = sums[1] / sums[0]
        squares = count * (variance + (mean - total_mean) ** 2)
        distributed.all_reduce(squares)
        return total_mean[None], (squares / sums[0])[None]

    def update_running_statistics(self, moments: Moments, norm: nn.InstanceNorm3d | nn.BatchNorm3d) -> None:
        """Update a training batch norm's running statistics as PyTorch does, with the unbiased variance."""
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
    """Return the sparse form of ``norm`` for blocks of ``voxels`` voxels.

    An instance norm uses each sample's active voxels. A batch norm uses those of the batch, of all processes if
    torch.distributed is running, and outside of training its running statistics.
    """
    samples = [count * voxels for count in active.counts]
    if isinstance(norm, nn.InstanceNorm3d):
        return Norm(samples, norm.eps)
    if not norm.training and norm.running_mean is not None and norm.running_var is not None:
        return Norm([sum(samples)], norm.eps, (norm.running_mean, norm.running_var))
    shared = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    return Norm([sum(samples)], norm.eps, shared=shared)


def normalise(packed: Packed, norm: nn.InstanceNorm3d | nn.BatchNorm3d) -> Packed:
    """Normalise by the mean and variance of active voxels, per sample for an instance norm, otherwise per batch.

    A batch norm updates its running statistics from active voxels in training, and uses them afterwards.
    """
    plan = plan_norm(norm, packed.active, len(packed.rows) // len(packed.active))
    result: Tensor = _Normalise.apply(packed.padded, norm.weight, norm.bias, plan, norm)  # type: ignore[no-untyped-call]
    return Packed(result, packed.block, packed.active)


class _Normalise(torch.autograd.Function):
    """Sparse norm with its own gradient."""

    @staticmethod
    def forward(
        ctx: Any, padded: Tensor, weight: Tensor, bias: Tensor, plan: Norm, norm: nn.InstanceNorm3d | nn.BatchNorm3d
    ) -> Tensor:
        result = empty_rows(padded, len(padded) - 1, len(weight))
        moments = plan.forward(padded[:-1], weight, bias, result[:-1])
        plan.update_running_statistics(moments, norm)
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
    """Return a view (1, C, M, 1) of rows (M, C): CUDA has fast channels-last kernels for four axes only."""
    return rows.t()[None, :, :, None]


def _rows(channels_last: Tensor) -> Tensor:
    """Undo :func:`_channels_last`."""
    return channels_last[0, :, :, 0].t()
