"""Post-processing of predicted structures: removal of connected components, and filling of holes.

Connected components share faces (6-connectivity). A hole is a component of the background that touches exactly one
structure and not the scan's edge. A structure only exchanges voxels with the background, never with another structure,
so the order of the rules has no effect. Structures that overlap are processed independently of each other.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.nesting import Nesting
from gynbtnet.imaging.structure_masks import OverlappingSegmentation, StructureMasks
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.quality.connected_components import connected_components
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
from gynbtnet.runtime.array_types import Box, Mask


def postprocess(segmentation: Segmentation, rules: Sequence[PostprocessingRule], nesting: Nesting) -> Segmentation:
    """Return a new segmentation: components that the rules exclude are removed, then holes are filled.

    Args:
        segmentation: predicted structures.
        rules: rules of the model's plan.
        nesting: inner and outer structures of the plan; voxels of an inner one outside its outer one are removed.

    Returns:
        The post-processed structures on the same grid.

    Raises:
        ValueError: If a rule is for a structure that the segmentation doesn't have.
    """
    unknown = [rule.structure for rule in rules if rule.structure not in segmentation.structures]
    if unknown:
        raise ValueError(f"rules for {', '.join(unknown)}, but the structures are {', '.join(segmentation.structures)}")
    excluding = [rule for rule in rules if rule.largest_component or rule.minimum_cm3]
    removed = _removed_voxels(segmentation, excluding) if excluding else {}
    filled = [rule.structure for rule in rules if rule.fill_holes]
    if isinstance(segmentation, OverlappingSegmentation):
        return _with_masks(segmentation, removed, filled, nesting)
    labels = segmentation.labels.array.copy()
    for box, voxels in removed.values():
        labels[box][voxels] = 0
    kept = Segmentation(Volume(labels, segmentation.labels.geometry), segmentation.structures)
    holes = structure_holes(kept, filled) if filled else {}
    for structure, mask in holes.items():
        labels[mask] = segmentation.label_of(structure)
    return kept


def structure_holes(segmentation: Segmentation, structures: Sequence[str]) -> dict[str, Mask]:
    """Return the holes of some structures, masks (z, y, x).

    If structures exclude each other, a hole is background that touches one structure and not the scan's edge. If they
    overlap, it is everything that the structure encloses.
    """
    if isinstance(segmentation, OverlappingSegmentation):
        masks = ((structure, segmentation.mask(structure)) for structure in structures)
        return {structure: ndimage.binary_fill_holes(mask) & ~mask for structure, mask in masks}
    labels = segmentation.labels.array
    numbers, owner = find_holes(labels)
    return {structure: (owner == segmentation.label_of(structure))[numbers] for structure in structures}


def _removed_voxels(segmentation: Segmentation, rules: Sequence[PostprocessingRule]) -> dict[str, tuple[Box, Mask]]:
    """Return the voxels that rules remove, in a box, by structure."""
    voxel_mm3, components = segmentation.labels.geometry.voxel_volume, connected_components(segmentation)
    removed = {}
    for rule in rules:
        own = components[rule.structure]
        if own.box is not None:
            excluded = np.append(False, ~keep_components(own.voxels, rule, voxel_mm3))
            removed[rule.structure] = own.box, excluded[own.numbers]
    return removed


def _with_masks(
    segmentation: OverlappingSegmentation,
    removed: Mapping[str, tuple[Box, Mask]],
    filled: Sequence[str],
    nesting: Nesting,
) -> Segmentation:
    """Return overlapping structures without the removed voxels, with holes filled and the nesting kept."""
    masks, structures = segmentation.own, segmentation.structures
    if masks.structures != structures:
        masks = StructureMasks.of({name: segmentation.mask(name) for name in structures}, masks.geometry)
    for name, (box, voxels) in removed.items():
        masks = masks.with_voxels(name, voxels, box, covered=False)
    for name in filled:
        masks = masks.with_voxels(name, ndimage.binary_fill_holes(masks.mask(name)), covered=True)
    return paint_masks(nesting.restrict(masks))


def keep_components(voxels: npt.NDArray[np.int64], rule: PostprocessingRule, voxel_mm3: float) -> npt.NDArray[np.bool_]:
    """Return True for each component that a rule keeps, (components,).

    Args:
        voxels: number of voxels of each component, (components,).
        rule: rule of the structure. If several components are largest, the first is kept.
        voxel_mm3: volume of a voxel in mm³.
    """
    kept = voxels * voxel_mm3 / 1000 >= rule.minimum_cm3
    if rule.largest_component and len(voxels):
        kept &= np.arange(len(voxels)) == voxels.argmax()
    return kept


def find_holes(labels: npt.NDArray[np.unsignedinteger]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Find the holes of all structures of a label map (z, y, x).

    Returns:
        The number of each voxel's background component from 1, and 0 in structures, (z, y, x). Then, by that number
        from 0, the label in which the component is a hole, or 0 if it isn't a hole.
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
