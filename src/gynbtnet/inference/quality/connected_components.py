"""The pieces of a mask: voxels that hang together by their faces, six neighbours each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import Box


@dataclass(frozen=True)
class Components:
    """One structure, taken apart.

    Attributes:
        box: the smallest one around it on the scan's grid, (z, y, x); None where it has no voxel.
        numbers: inside that box 0 outside the structure, and the piece's number from 1 inside, (z, y, x).
        voxels: of each piece, in the order of their numbers, (pieces,).
    """

    box: Box | None
    numbers: npt.NDArray[np.int32]
    voxels: npt.NDArray[np.int64]


def connected_components(segmentation: Segmentation) -> dict[str, Components]:
    """Of each structure."""
    labels = segmentation.labels.array
    found = {}
    for structure, box in segmentation.boxes().items():
        if box is None:
            found[structure] = Components(None, np.zeros((0, 0, 0), np.int32), np.zeros(0, np.int64))
        else:
            numbers, _ = ndimage.label(labels[box] == segmentation.label_of(structure))
            found[structure] = Components(box, numbers, np.bincount(numbers.ravel())[1:])
    return found
