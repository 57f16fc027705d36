"""Failure flags: rules that point a reviewer to a possible error, computed without reference contours."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gynbtnet.imaging.volume import Segmentation
from gynbtnet.inference.quality.structure_features import StructureFeatures
from gynbtnet.inference.quality.target_position import TARGET, implausible_target_position
from gynbtnet.preparation.planning.structure_volumes import COVERED, StructureVolume

FlagKind = Literal["missing", "fragmented", "edge", "volume", "place", "disagreement"]

LARGEST_SHARE = 0.95
"""Smallest share of a structure's voxels in its largest connected component; below, it is fragmented."""
AGREEMENT = 0.7
"""Smallest mean Dice coefficient between the forward passes and their mean; below, they disagree. Human readers of the
HR-CTV on CT agree with one another to about 0.73 (doi 10.5114/jcb.2023.131242)."""


@dataclass(frozen=True)
class Flag:
    """A possible failure in one structure.

    Attributes:
        structure: identifier of the structure.
        kind: rule that raised the flag.
        sentence: finding and recommended action, for the reviewer.
    """

    structure: str
    kind: FlagKind
    sentence: str


def failure_flags(
    segmentation: Segmentation,
    agreement: Mapping[str, float],
    features: Sequence[StructureFeatures],
    volumes: Sequence[StructureVolume] = (),
) -> tuple[Flag, ...]:
    """Return the flags of all structures, in their order.

    Args:
        segmentation: predicted structures.
        agreement: mean Dice coefficient of the forward passes with their mean, by structure; NaN if unknown.
        features: features of the segmentation, see
            :func:`gynbtnet.inference.quality.structure_features.structure_features`.
        volumes: volumes in the training; a structure that is not among them has no range.
    """
    reference = {volume.structure: volume for volume in volumes}
    position = implausible_target_position(segmentation)
    flags: list[Flag] = []
    for structure_feature in features:
        name = structure_feature.structure
        if structure_feature.volume_cm3 == 0:
            sentence = f"{name} is missing: nothing was drawn; draw it by hand, unless the patient has none."
            flags.append(Flag(name, "missing", sentence))
            continue
        flags += _shape_flags(structure_feature)
        flags += _volume_flags(structure_feature, reference.get(name))
        if name == TARGET and position:
            flags.append(Flag(name, "place", f"{name} {position}; check that the cervix was found."))
        flags += _agreement_flags(name, agreement.get(name, math.nan))
    return tuple(flags)


def _shape_flags(features: StructureFeatures) -> Iterator[Flag]:
    name = features.structure
    if features.largest_share < LARGEST_SHARE:
        sentence = (
            f"{name} is in {features.components} pieces, with {100 * (1 - features.largest_share):.0f} % of its volume "
            "outside the largest; join them or delete what doesn't belong."
        )
        yield Flag(name, "fragmented", sentence)
    if features.edges:
        sides = " and ".join(features.edges)
        yield Flag(name, "edge", f"{name} reaches the scan's {sides} edge; its volume and dose beyond aren't known.")


def _volume_flags(features: StructureFeatures, reference: StructureVolume | None) -> Iterator[Flag]:
    if reference is None:
        return
    low, high = reference.range_cm3
    if not low <= features.volume_cm3 <= high:
        size = "small" if features.volume_cm3 < low else "large"
        sentence = (
            f"{features.structure} is {size}: {features.volume_cm3:.3g} cm³, where {100 * COVERED:.0f} % of patients "
            f"like the {reference.patients} of the training have {low:.3g} to {high:.3g} cm³; check its extent."
        )
        yield Flag(features.structure, "volume", sentence)


def _agreement_flags(structure: str, agreement: float) -> Iterator[Flag]:
    if agreement < AGREEMENT:  # false for NaN, which means one forward pass
        sentence = (
            f"{structure} was drawn differently by the model's single passes, which agree to a Dice coefficient of "
            f"{agreement:.2f} with their mean; check all of its border."
        )
        yield Flag(structure, "disagreement", sentence)
