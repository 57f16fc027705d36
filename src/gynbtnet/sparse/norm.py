"""Normalisation over active voxels, with a dense norm's own parameters."""

import torch
from torch import Tensor, nn

from gynbtnet.sparse.packed import Packed


def normalise(packed: Packed, norm: nn.InstanceNorm3d | nn.BatchNorm3d) -> Packed:
    """Normalise by the mean and variance of active voxels: of each sample for an instance norm, else of the batch.

    A batch norm counts active voxels into its running statistics while it trains, and uses those afterwards.
    """
    if isinstance(norm, nn.BatchNorm3d):
        return packed.with_rows(_batch_norm(packed.rows, norm))
    voxels = len(packed.rows) // len(packed.active)
    samples = torch.split(packed.rows, [count * voxels for count in packed.active.counts])
    return packed.with_rows(torch.cat([_instance_norm(sample, norm) for sample in samples]))


def _instance_norm(rows: Tensor, norm: nn.InstanceNorm3d) -> Tensor:
    """A batch norm of one sample. Not through ``nn.functional``, which refuses a single voxel: it becomes the shift."""
    scaled = torch.batch_norm(
        _channels_last(rows), norm.weight, norm.bias, None, None, True, 0.0, norm.eps, torch.backends.cudnn.enabled
    )
    return scaled.view(rows.shape[1], -1).t()


def _batch_norm(rows: Tensor, norm: nn.BatchNorm3d) -> Tensor:
    normed: Tensor = norm(_channels_last(rows))
    return normed.view(rows.shape[1], -1).t()


def _channels_last(rows: Tensor) -> Tensor:
    """Rows (M, C) seen as (1, C, M, 1, 1), for which the fast channels-last kernels exist."""
    return rows.t()[None, :, :, None, None]
