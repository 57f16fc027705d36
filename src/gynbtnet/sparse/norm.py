"""Normalisation over active voxels, with the parameters of a dense norm."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.device_rules import DeviceRules, rules_for
from gynbtnet.sparse.kernels.interfaces import Moments, NormKernels
from gynbtnet.sparse.kernels.norm_by_segment import activation_gradient_, norm_gradients
from gynbtnet.sparse.packed import Packed, empty_rows

VALUES_PER_CHUNK = 2**22
"""Values that are converted to single precision at a time, if all processes' rows are one batch: 16 MB."""


@dataclass(frozen=True)
class Norm:
    """A norm of one layer, its activation included: its values and gradients, without an autograd graph.

    The activation is LeakyReLU(norm(rows) + shortcut).

    Attributes:
        segments: Numbers of rows that are normalised together: per sample for an instance norm, the whole batch for a
            batch norm.
        eps: Number that is added to the variance.
        kernels: Implementation of the norm.
        running: Mean and variance to use. None: those of the rows.
        shared: If true, the rows of all processes count as one batch.
        slope: Slope of LeakyReLU; 1 for no activation.
        values_per_chunk: Values that are converted to single precision at a time, if ``shared``.
    """

    segments: list[int]
    eps: float
    kernels: NormKernels
    running: Moments | None = None
    shared: bool = False
    slope: float = 1.0
    values_per_chunk: int = VALUES_PER_CHUNK

    def forward(
        self, rows: Tensor, weight: Tensor, bias: Tensor, out: Tensor, shortcut: Tensor | None = None
    ) -> Moments:
        """Write the result for the rows into ``out``, and return the moments that it was computed with."""
        if self.running is not None:
            mean, variance = self.running
            moments = mean[None], variance[None] + self.eps
        elif self.shared:
            moments = self._reduce_over_processes(
                self.kernels.forward(rows, self.segments, weight, bias, self.eps, out)
            )
        else:
            arguments = (rows, self.segments, weight, bias, self.eps, out)
            return self.kernels.forward(*arguments, slope=self.slope, shortcut=shortcut)
        self.apply_moments(rows, moments, weight, bias, out, shortcut)
        return moments

    def apply_moments(
        self,
        rows: Tensor,
        moments: Moments,
        weight: Tensor,
        bias: Tensor,
        out: Tensor,
        shortcut: Tensor | None = None,
    ) -> None:
        """Write the result for the rows and given moments into ``out``."""
        arguments = (rows, self.segments, moments, weight, bias, out)
        self.kernels.apply(*arguments, slope=self.slope, shortcut=shortcut)

    def backward(
        self, grad: Tensor, rows: Tensor, moments: Moments, weight: Tensor, activated: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Replace ``grad`` by the gradient of ``rows``; return those of weight and bias.

        ``grad`` is the gradient of the result, or without the result ``activated``, of the activation's input.
        """
        slope = 1.0 if activated is None else self.slope
        if self.shared:
            activation_gradient_(grad, slope, activated)
            return self._backward_over_processes(grad, rows, moments, weight)
        return self.kernels.backward(
            *(grad, rows, self.segments, moments, weight),
            fixed_moments=self.running is not None,
            slope=slope,
            activated=activated,
        )

    def _backward_over_processes(
        self, grad: Tensor, rows: Tensor, moments: Moments, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Replace ``grad`` by the gradient of ``rows``, from the sums over all processes."""
        (mean,), (variance,) = moments
        _, grad_weight, grad_bias = norm_gradients(grad, rows, mean, variance, weight, fixed_moments=False)
        sums = torch.stack((grad_weight, grad_bias, torch.full_like(grad_bias, len(rows))))
        distributed.all_reduce(sums)
        total_weight, total_bias, count = sums
        scale = weight * variance.rsqrt()
        slope = -weight * variance.reciprocal() * total_weight / count
        shift = -scale * total_bias / count - slope * mean
        chunk = max(1, self.values_per_chunk // len(weight))
        for g, y in zip(torch.split(grad, chunk), torch.split(rows, chunk), strict=True):
            g.copy_((g * scale).addcmul_(y, slope).add_(shift))
        return grad_weight, grad_bias

    def gradient_of_constant(self, grad: Tensor) -> Tensor:
        """Return the gradient of a constant added to all rows; it is zero if the norm subtracts the rows' mean."""
        return grad.sum(0) if self.running is not None else grad.new_zeros(grad.shape[1])

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


def plan_norm(
    norm: nn.InstanceNorm3d | nn.BatchNorm3d,
    active: ActiveBlocks,
    voxels: int,
    rules: DeviceRules,
    slope: float = 1.0,
) -> Norm:
    """Return the sparse form of ``norm``, and of a LeakyReLU behind it, for blocks of ``voxels`` voxels.

    An instance norm uses each sample's active voxels. A batch norm uses those of the batch, of all processes if
    torch.distributed is running, and outside of training its running statistics.
    """
    samples = [count * voxels for count in active.counts]
    if isinstance(norm, nn.InstanceNorm3d):
        return Norm(samples, norm.eps, rules.norm, slope=slope)
    running, shared = None, False
    if not norm.training and norm.running_mean is not None and norm.running_var is not None:
        running = norm.running_mean, norm.running_var
    else:
        shared = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    return Norm([sum(samples)], norm.eps, rules.norm, running, shared, slope)


def normalise(packed: Packed, norm: nn.InstanceNorm3d | nn.BatchNorm3d, rules: DeviceRules | None = None) -> Packed:
    """Normalise by the mean and variance of active voxels, per sample for an instance norm, otherwise per batch.

    A batch norm updates its running statistics from active voxels in training, and uses them afterwards. Without
    ``rules``, those of the features' device are used.
    """
    rules = rules or rules_for(packed.padded.device)
    plan = plan_norm(norm, packed.active, len(packed.rows) // len(packed.active), rules)
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
