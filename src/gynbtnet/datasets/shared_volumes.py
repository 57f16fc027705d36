"""Volumes that two structures share in the contours of one scan, as sentences."""

from collections.abc import Sequence
from itertools import combinations

from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import Box


def describe_overlaps(segmentation: Segmentation, structures: Sequence[str]) -> tuple[str, ...]:
    """Return one sentence per pair of structures that share voxels, the largest shared volume first.

    Args:
        segmentation: structures, which may overlap.
        structures: structures to compare.

    Returns:
        Sentences such as "uterus and hr_ctv share 12.00 cm³ (17 % of uterus, 40 % of hr_ctv).".
    """
    boxes, voxel_cm3 = segmentation.boxes(), segmentation.labels.geometry.voxel_volume / 1000
    shared: dict[tuple[str, str], float] = {}
    for one, other in combinations([name for name in segmentation.structures if name in structures], 2):
        box = _common_box(boxes[one], boxes[other])
        if box is not None and (voxels := int((segmentation.mask(one, box) & segmentation.mask(other, box)).sum())):
            shared[one, other] = voxels * voxel_cm3
    volumes = segmentation.volumes_cm3()
    return tuple(
        f"{one} and {other} share {cm3:.2f} cm³ ({100 * cm3 / volumes[one]:.0f} % of {one}, "
        f"{100 * cm3 / volumes[other]:.0f} % of {other})."
        for (one, other), cm3 in sorted(shared.items(), key=lambda item: -item[1])
    )


def _common_box(first: Box | None, second: Box | None) -> Box | None:
    """Return the part of the grid in both boxes; None if there is none."""
    if first is None or second is None:
        return None
    sides = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first, second, strict=True)]
    return (sides[0], sides[1], sides[2]) if all(side.start < side.stop for side in sides) else None
