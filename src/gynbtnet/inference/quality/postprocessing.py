"""What is mended in contours after they are drawn: pieces taken away, holes filled.

Exact, and by faces: a piece is a set of voxels that hang together by their faces; a hole is such a piece of the
background that touches one structure alone, with all its faces, and not the scan's edge. So a structure only ever loses
voxels to the background and takes them from it, never from another one, and the order of the rules says nothing.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.quality.connected_components import connected_components
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule


def postprocess(segmentation: Segmentation, rules: Sequence[PostprocessingRule]) -> Segmentation:
    """Take away what pieces the rules don't keep, of all structures, and then fill holes; a new segmentation.

    Raises:
        ValueError: where a rule is of a structure that there isn't.
    """
    unknown = [rule.structure for rule in rules if rule.structure not in segmentation.structures]
    if unknown:
        raise ValueError(f"rules for {', '.join(unknown)}, where there are only {', '.join(segmentation.structures)}")
    geometry = segmentation.labels.geometry
    labels = segmentation.labels.array.copy()
    pieces = (
        connected_components(segmentation) if any(rule.largest_component or rule.minimum_cm3 for rule in rules) else {}
    )
    for rule in rules:
        if (of_structure := pieces.get(rule.structure)) is not None and of_structure.box is not None:
            removed = np.append(False, ~keep_components(of_structure.voxels, rule, geometry.voxel_volume))
            labels[of_structure.box][removed[of_structure.numbers]] = 0
    filled = [segmentation.label_of(rule.structure) for rule in rules if rule.fill_holes]
    if filled:
        _fill(labels, filled)
    return Segmentation(Volume(labels, geometry), segmentation.structures)


def keep_components(voxels: npt.NDArray[np.int64], rule: PostprocessingRule, voxel_mm3: float) -> npt.NDArray[np.bool_]:
    """Whether a rule keeps each piece, (pieces,); ``voxels`` are theirs. Of several largest ones the first is kept."""
    kept = voxels * voxel_mm3 / 1000 >= rule.minimum_cm3
    if rule.largest_component and len(voxels):
        kept &= np.arange(len(voxels)) == voxels.argmax()
    return kept


def find_holes(labels: npt.NDArray[np.unsignedinteger]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The holes of all structures of a label map (z, y, x).

    Returns:
        The number of each voxel's piece of background, from 1, 0 in structures (z, y, x); and by that number, from 0,
        the label whose hole it is, or 0 where it is nobody's.
    """
    numbers, count = ndimage.label(labels == 0)
    lowest = np.full(count + 1, np.iinfo(np.int64).max)
    highest = np.zeros(count + 1, np.int64)
    for axis in range(labels.ndim):
        before, after = (
            tuple(slice(start, stop) if a == axis else slice(None) for a in range(labels.ndim))
            for start, stop in ((None, -1), (1, None))
        )
        for here, there in ((before, after), (after, before)):
            at_border = (labels[here] == 0) & (labels[there] != 0)
            touching, touched = numbers[here][at_border], labels[there][at_border].astype(np.int64)
            np.minimum.at(lowest, touching, touched)
            np.maximum.at(highest, touching, touched)
    owner = np.where(lowest == highest, highest, 0)
    for axis in range(labels.ndim):
        for side in (0, -1):
            owner[np.unique(np.take(numbers, side, axis))] = 0
    return numbers, owner


def _fill(labels: npt.NDArray[np.unsignedinteger], filled: Sequence[int]) -> None:
    """Fill the holes of these labels in place, inside the smallest box around all structures."""
    occupied = bounding_box(labels > 0)
    if occupied is None:
        return
    box = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in occupied)
    numbers, owner = find_holes(labels[box])
    owner[~np.isin(owner, filled)] = 0
    taken = owner[numbers]
    np.copyto(labels[box], taken.astype(labels.dtype), where=taken > 0)
