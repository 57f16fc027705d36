"""Instance norm that overwrites its input."""

from typing import cast

import torch
from torch import Tensor, nn


def normalise_inplace(norm: nn.Module, x: Tensor, *, min_voxels: int) -> Tensor:
    """Return ``norm(x)``, written over ``x`` if it is an instance norm of a large, contiguous map.

    One channel after the other is normalised, so that all steps but the first find its values in the cache. BLAS's
    scalar product computes the variance, after the mean has been subtracted.

    Args:
        norm: The norm. Any norm other than an instance norm runs as it is.
        x: (B, channels, D, H, W), which may be overwritten.
        min_voxels: Voxels below which PyTorch's own norm runs.
    """
    if not isinstance(norm, nn.InstanceNorm3d) or x[0, 0].numel() < min_voxels or not x.is_contiguous():
        return cast("Tensor", norm(x))
    for image in x:
        for channel, values in enumerate(image.flatten(1)):
            values -= values.mean()
            scale = torch.rsqrt(torch.dot(values, values) / len(values) + norm.eps)
            if norm.affine:
                values.mul_(scale * norm.weight[channel]).add_(norm.bias[channel])
            else:
                values *= scale
    return x
