"""Voxels of each structure, around which training draws patches."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.mask_measures import union_of_boxes
from gynbtnet.imaging.regions import Regions

_VOXELS = 10_000  # per label, as many as nnU-Net keeps


def foreground_voxels(
    labels: npt.NDArray[np.uint8], regions: Regions | None = None
) -> dict[int, npt.NDArray[np.int32]]:
    """Draw voxels of every structure without replacement.

    Args:
        labels: label map (z, y, x); 0 is background.
        regions: labels of each structure if structures overlap; None: label i is structure i.

    Returns:
        At most 10,000 voxel indices (n, 3) as (z, y, x) per structure that occurs, the same at every call. Structures
        are numbered from 1, in the order of the plan.
    """
    boxes = ndimage.find_objects(labels)
    own_labels = [(label,) for label in range(1, len(boxes) + 1)] if regions is None else regions.labels
    voxels = {}
    for number, own in enumerate(own_labels, start=1):
        box = union_of_boxes(boxes[label - 1] for label in own if label <= len(boxes))
        if box is None:
            continue
        inside = np.flatnonzero(np.isin(labels[box], own))
        chosen = np.random.default_rng([number]).permutation(len(inside))[:_VOXELS]
        indices = np.stack(np.unravel_index(inside[np.sort(chosen)], labels[box].shape), axis=1)
        voxels[number] = (indices + [extent.start for extent in box]).astype(np.int32)
    return voxels
