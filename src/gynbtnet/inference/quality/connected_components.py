"""Connected components of structures: voxels that share faces (6-connectivity)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import Box


@dataclass(frozen=True)
class Components:
    """Connected components of one structure.

    Attributes:
        box: bounding box of the structure on the scan's grid, (z, y, x); None if it is empty.
        numbers: number of each voxel's component from 1, and 0 outside the structure; (z, y, x) inside the box.
        voxels: number of voxels of each component, in the order of their numbers, (components,).
    """

    box: Box | None
    numbers: npt.NDArray[np.int32]
    voxels: npt.NDArray[np.int64]


def connected_components(segmentation: Segmentation) -> dict[str, Components]:
    """Return the connected components (6-connectivity) of every structure, by structure."""
    components = {}
    for structure, box in segmentation.boxes().items():
        if box is None:
            components[structure] = Components(None, np.zeros((0, 0, 0), np.int32), np.zeros(0, np.int64))
        else:
            numbers, _ = ndimage.label(segmentation.mask(structure, box))
            components[structure] = Components(box, numbers, np.bincount(numbers.ravel())[1:])
    return components
