"""Projection of dense features whose masked voxels contain a token, with gradients computed on visible blocks only.

A 3×3×3 convolution is linear. Its gradients for a volume that contains the token everywhere follow from sums of the
output's gradient over the volume. What remains is zero in masked voxels: features minus token. The dense features are
thus neither stored nor read again, and the gradients cost the visible share of the work.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv3d
from torch.nn.grad import conv3d_weight

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.convolution import cast_for_autocast
from gynbtnet.sparse.device_rules import DeviceRules
from gynbtnet.sparse.kernels.tile_convolution import flip, gather_tiles
from gynbtnet.sparse.norm import Norm, plan_norm
from gynbtnet.sparse.packed import Packed, as_accumulator, empty_rows, fill_masked, view_by_block


def project_filled(
    packed: Packed,
    norm: nn.InstanceNorm3d | nn.BatchNorm3d,
    token: Tensor,
    projection: nn.Conv3d,
    rules: DeviceRules,
) -> Tensor:
    """Return the 3×3×3 ``projection`` (B, C_out, D, H, W) of normalised features, with ``token`` in masked voxels.

    Values and gradients equal those of the projection of ``unpack(normalise(packed, norm), token)``.
    """
    plan = _ProjectionPlan(
        plan_norm(norm, packed.active, len(packed.rows) // len(packed.active), rules),
        packed.active,
        packed.block,
        rules.values_per_chunk,
    )
    padded, weight, bias = cast_for_autocast(packed.padded, projection.weight, projection.bias)
    parameters = norm.weight, norm.bias, token, weight, bias
    return _ProjectFilled.apply(plan, norm, padded, *parameters)  # type: ignore[no-untyped-call,no-any-return]


@dataclass(frozen=True)
class _ProjectionPlan:
    norm: Norm
    active: ActiveBlocks
    block: Triple
    values_per_chunk: int

    def backward(self, grad: Tensor, centred: Tensor, token: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the visible rows, of the token and of the weight.

        Args:
            grad: Gradient of the projection, (B, C_out, D, H, W).
            centred: Visible rows minus the token, (N·V, C_in).
            token: (C_in,).
            weight: (C_out, C_in, 3, 3, 3).
        """
        out_channels, in_channels = weight.shape[:2]
        grad = grad.contiguous(memory_format=torch.channels_last_3d)
        by_block = view_by_block(grad, self.active, self.block)
        padded = empty_rows(grad, by_block[..., 0].numel(), out_channels)
        padded[:-1].view(by_block.shape).copy_(by_block)
        centred_blocks = centred.view(len(self.active), *self.block, in_channels).movedim(-1, 1)
        grad_rows = torch.empty_like(centred)
        grad_blocks = grad_rows.view(len(self.active), *self.block, in_channels)
        flipped = flip(weight)
        total: Tensor | None = None
        table = self.active.tiles_of_grid(self.block)
        for chunk, tiles in gather_tiles(padded, table, self.values_per_chunk):
            grad_blocks[chunk] = conv3d(tiles, flipped).movedim(1, -1)
            part: Tensor = conv3d_weight(tiles, flipped.shape, centred_blocks[chunk])  # type: ignore[no-untyped-call]
            total = as_accumulator(part) if total is None else total.add_(part)
        assert total is not None  # an ActiveBlocks is never empty
        sums = _sums_per_tap(grad, token.dtype)
        of_token = (token[None, :, None] * sums[:, None]).view_as(weight)
        grad_weight = total.flip(2, 3, 4).transpose(0, 1) + of_token
        everywhere = (weight.flatten(2).to(sums.dtype) * sums[:, None]).sum((0, 2))
        grad_token = everywhere - grad_rows.sum(0, dtype=sums.dtype)
        return grad_rows, grad_token, torch.empty_like(weight).copy_(grad_weight)


class _ProjectFilled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        plan: _ProjectionPlan,
        norm: nn.InstanceNorm3d | nn.BatchNorm3d,
        padded: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        token: Tensor,
        weight: Tensor,
        bias: Tensor,
    ) -> Tensor:
        rows = torch.empty_like(padded[:-1])
        moments = plan.norm.forward(padded[:-1], norm_weight, norm_bias, rows)
        plan.norm.update_running_statistics(moments, norm)
        ctx.save_for_backward(padded, norm_weight, norm_bias, token, weight, *moments)
        ctx.plan = plan
        return conv3d(fill_masked(rows, token, plan.active, plan.block), weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        padded, norm_weight, norm_bias, token, weight, *moments = ctx.saved_tensors
        plan: _ProjectionPlan = ctx.plan
        statistics = moments[0], moments[1]
        rows = padded[:-1]
        centred = torch.empty_like(rows)
        plan.norm.apply_moments(rows, statistics, norm_weight, norm_bias - token, centred)
        grad_rows, grad_token, grad_weight = plan.backward(grad, centred, token, weight)
        grad_padded = empty_rows(padded, *grad_rows.shape)
        grad_padded[:-1] = grad_rows
        grads_norm = plan.norm.backward(grad_padded[:-1], rows, statistics, norm_weight)
        return None, None, grad_padded, *grads_norm, grad_token, grad_weight, grad.sum((0, 2, 3, 4))


def _sums_per_tap(grad: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the sum of ``grad`` (B, C, D, H, W) over the voxels whose tap reads inside the volume: (C, 27).

    Along each axis the first tap doesn't exist for the first voxel, and the last tap not for the last one.
    """
    sums = grad.sum(0, dtype=dtype)
    for axis in (1, 2, 3):
        total, first, last = sums.sum(axis), sums.select(axis, 0), sums.select(axis, -1)
        sums = torch.stack((total - first, total, total - last), axis)
    return sums.flatten(1)
