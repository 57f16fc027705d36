"""Post-processing of predicted structures: removal of connected components, and filling of holes.

Connected components share faces (6-connectivity). A hole is a component of the background that touches exactly one
structure and not the scan's edge. A structure only exchanges voxels with the background, never with another structure,
so the order of the rules has no effect.
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
    """Return a new segmentation: components that the rules exclude are removed, then holes are filled.

    Args:
        segmentation: predicted structures.
        rules: rules of the model's plan.

    Returns:
        The post-processed structures on the same grid.

    Raises:
        ValueError: If a rule is for a structure that the segmentation doesn't have.
    """
    unknown = [rule.structure for rule in rules if rule.structure not in segmentation.structures]
    if unknown:
        raise ValueError(f"rules for {', '.join(unknown)}, but the structures are {', '.join(segmentation.structures)}")
    geometry = segmentation.labels.geometry
    labels = segmentation.labels.array.copy()
    components = (
        connected_components(segmentation) if any(rule.largest_component or rule.minimum_cm3 for rule in rules) else {}
    )
    for rule in rules:
        if (own := components.get(rule.structure)) is not None and own.box is not None:
            removed = np.append(False, ~keep_components(own.voxels, rule, geometry.voxel_volume))
            labels[own.box][removed[own.numbers]] = 0
    filled = [segmentation.label_of(rule.structure) for rule in rules if rule.fill_holes]
    if filled:
        labels = _with_filled_holes(labels, filled)
    return Segmentation(Volume(labels, geometry), segmentation.structures)


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


def _with_filled_holes(
    labels: npt.NDArray[np.unsignedinteger], filled: Sequence[int]
) -> npt.NDArray[np.unsignedinteger]:
    """Return the label map with the holes of the labels ``filled`` closed, inside the box of all structures."""
    occupied = bounding_box(labels > 0)
    if occupied is None:
        return labels
    box = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in occupied)
    numbers, owner = find_holes(labels[box])
    owner[~np.isin(owner, filled)] = 0
    fill = owner[numbers]
    result = labels.copy()
    np.copyto(result[box], fill.astype(labels.dtype), where=fill > 0)
    return result
