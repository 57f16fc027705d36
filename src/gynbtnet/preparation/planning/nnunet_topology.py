"""Levels of nnU-Net's own network for a patch: strides and kernels.

nnU-Net's rule (Isensee et al. 2021, supplementary note 2; ``get_pool_and_conv_props`` of its version 2). nnU-Net then
enlarges the patch to a multiple of the total stride. Here the patch is fixed, and an axis is divided as long as
possible.
"""

from dataclasses import dataclass

from gynbtnet.runtime.array_types import Spacing, Triple

_SMALLEST = 4  # voxels along an axis of the deepest level
_SIMILAR = 2  # largest ratio of an axis' spacing to the finest one for a stride of 2 or a kernel of 3


@dataclass(frozen=True)
class Topology:
    """Strides and kernels of each level, fine to coarse, along (z, y, x)."""

    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]


def nnunet_topology(spacing: Spacing, patch_size: Triple) -> Topology:
    """Return the levels for a patch.

    Args:
        spacing: spacing of the plan, (z, y, x) in mm.
        patch_size: voxels (z, y, x).

    Returns:
        Strides and kernels.
    """
    current, size = list(spacing), list(patch_size)
    kernel = [1, 1, 1]
    strides, kernels = [(1, 1, 1)], []
    while axes := _divided(current, size):
        kernel = [
            3 if k == 3 or length < _SIMILAR * min(current) else 1 for k, length in zip(kernel, current, strict=True)
        ]
        kernels.append((kernel[0], kernel[1], kernel[2]))
        z, y, x = (2 if axis in axes else 1 for axis in range(3))
        strides.append((z, y, x))
        current = [length * step for length, step in zip(current, (z, y, x), strict=True)]
        size = [n // step for n, step in zip(size, (z, y, x), strict=True)]
    return Topology(tuple(strides), (*kernels, (3, 3, 3)))


def _divided(spacing: list[float], size: list[int]) -> list[int]:
    """Return the axes that the next level divides by 2; none if there is no next level."""
    large = [axis for axis in range(3) if size[axis] >= 2 * _SMALLEST]
    finest = min((spacing[axis] for axis in large), default=0.0)
    axes = [axis for axis in large if spacing[axis] < _SIMILAR * finest]
    if len(axes) == 1 and size[axes[0]] < 3 * _SMALLEST:
        return []
    return [axis for axis in axes if size[axis] % 2 == 0]
