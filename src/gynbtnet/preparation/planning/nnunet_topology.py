"""The levels that nnU-Net's own network gets for a patch: what each divides the grid by, and its kernels.

nnU-Net's rule (Isensee et al. 2021, supplementary note 2; ``get_pool_and_conv_props`` of its version 2). nnU-Net then
enlarges the patch to a multiple of what its levels divide by; here the patch stands, and an axis is divided as long as
that is possible.
"""

from dataclasses import dataclass

from gynbtnet.runtime.array_types import Spacing, Triple

_SMALLEST = 4  # voxels along an axis of the deepest level
_ALIKE = 2  # times that the spacing of an axis may be the finest and still be divided, or seen by a kernel of 3


@dataclass(frozen=True)
class Topology:
    """Of each level, fine to coarse, along (z, y, x)."""

    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]


def nnunet_topology(spacing: Spacing, patch_size: Triple) -> Topology:
    """Levels for patches of ``patch_size`` voxels (z, y, x) at ``spacing`` (z, y, x) in mm."""
    here, size = list(spacing), list(patch_size)
    kernel = [1, 1, 1]
    strides, kernels = [(1, 1, 1)], []
    while axes := _divided(here, size):
        kernel = [3 if k == 3 or length < _ALIKE * min(here) else 1 for k, length in zip(kernel, here, strict=True)]
        kernels.append((kernel[0], kernel[1], kernel[2]))
        z, y, x = (2 if axis in axes else 1 for axis in range(3))
        strides.append((z, y, x))
        here = [length * step for length, step in zip(here, (z, y, x), strict=True)]
        size = [n // step for n, step in zip(size, (z, y, x), strict=True)]
    return Topology(tuple(strides), (*kernels, (3, 3, 3)))


def _divided(spacing: list[float], size: list[int]) -> list[int]:
    """The axes that the next level divides by 2; none where there is no next level."""
    large = [axis for axis in range(3) if size[axis] >= 2 * _SMALLEST]
    finest = min((spacing[axis] for axis in large), default=0.0)
    axes = [axis for axis in large if spacing[axis] < _ALIKE * finest]
    if len(axes) == 1 and size[axes[0]] < 3 * _SMALLEST:
        return []
    return [axis for axis in axes if size[axis] % 2 == 0]
