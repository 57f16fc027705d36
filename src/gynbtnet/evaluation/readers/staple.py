"""STAPLE: the consensus of several readers' masks, by SimpleITK.

Warfield et al. 2004 (doi 10.1109/TMI.2004.828354): expectation–maximisation estimates the probability that a voxel is
inside, together with the sensitivity and the specificity of each reader. The consensus has the voxels that are more
probably inside than outside.

The result depends on the number of voxels outside. The region is therefore fixed: the smallest box around all masks,
and one voxel more on each side. The estimate can converge to the mask of a single reader if the readers differ a lot;
:attr:`Consensus.sensitivity` shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import SimpleITK as sitk

from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.runtime.array_types import Mask

MAX_ITERATIONS = 2000
"""Iterations after which an estimate counts as not converged."""
_MARGIN = 1


@dataclass(frozen=True)
class Consensus:
    """Consensus of several masks.

    Attributes:
        mask: voxels that are more probably inside than outside (z, y, x).
        sensitivity: estimated share of the true voxels that each reader has, 0 to 1, in the order of the masks.
        converged: False if the estimate was still changing after ``MAX_ITERATIONS``.
    """

    mask: Mask
    sensitivity: tuple[float, ...]
    converged: bool = True


def staple(masks: Sequence[Mask]) -> Consensus:
    """Return the consensus of masks.

    Args:
        masks: at least two masks (z, y, x) on one grid; some may be empty.

    Returns:
        The consensus. If all masks are equal, it is that mask.

    Raises:
        ValueError: If there are fewer than two masks.

    Example:
        >>> import numpy as np
        >>> square = np.zeros((3, 6, 6), bool)
        >>> square[1, 1:5, 1:5] = True
        >>> bool((staple([square, square, np.zeros_like(square)]).mask == square).all())
        True
    """
    if len(masks) < 2:
        raise ValueError("a consensus needs at least two masks")
    if all(np.array_equal(masks[0], other) for other in masks[1:]):
        return Consensus(masks[0].copy(), (1.0,) * len(masks))
    box = bounding_box(reduce(np.logical_or, masks))
    assert box is not None, "masks that differ have a voxel"
    box = tuple(
        slice(max(side.start - _MARGIN, 0), min(side.stop + _MARGIN, size))
        for side, size in zip(box, masks[0].shape, strict=True)
    )
    images = [sitk.GetImageFromArray(np.ascontiguousarray(mask[box]).astype(np.uint8)) for mask in masks]
    estimate = sitk.STAPLEImageFilter()
    estimate.SetForegroundValue(1)
    estimate.SetMaximumIterations(MAX_ITERATIONS)
    probability = sitk.GetArrayFromImage(estimate.Execute(images))
    mask = np.zeros(masks[0].shape, bool)
    mask[box] = probability > 0.5
    return Consensus(mask, tuple(estimate.GetSensitivity()), estimate.GetElapsedIterations() < MAX_ITERATIONS)
