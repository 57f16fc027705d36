"""Failure flags: rules that point a reviewer to a possible error, computed without reference contours."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.inference.quality.structure_features import StructureFeatures
from gynbtnet.inference.quality.target_position import TARGET, implausible_target_position
from gynbtnet.preparation.planning.structure_volumes import COVERED, StructureVolume
from gynbtnet.runtime.phrases import enumeration

FlagKind = Literal["missing", "fragmented", "edge", "volume", "position", "disagreement"]

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

    Returns:
        One flag per suspected failure; a structure may have several.
    """
    reference = {volume.structure: volume for volume in volumes}
    position = implausible_target_position(segmentation)
    flags: list[Flag] = []
    for structure_feature in features:
        name = structure_feature.structure
        if structure_feature.volume_cm3 == 0:
            sentence = f"{_display_name(name)} was not found. Contour it manually unless it has been removed."
            flags.append(Flag(name, "missing", sentence))
            continue
        flags += _shape_flags(structure_feature)
        flags += _volume_flags(structure_feature, reference.get(name))
        if name == TARGET and position:
            flags.append(Flag(name, "position", f"{_display_name(name)} {position}. Check that the cervix was found."))
        flags += _agreement_flags(name, agreement.get(name, math.nan))
    return tuple(flags)


def _shape_flags(features: StructureFeatures) -> Iterator[Flag]:
    name = features.structure
    if features.largest_share < LARGEST_SHARE:
        sentence = (
            f"{_display_name(name)} has {features.components} separate parts; "
            f"{100 * (1 - features.largest_share):.0f} % of its volume is outside the largest. Connect them or delete "
            "the wrong ones."
        )
        yield Flag(name, "fragmented", sentence)
    if features.edges:
        edges, beyond = ("edge", "it") if len(features.edges) == 1 else ("edges", "them")
        sentence = (
            f"{_display_name(name)} reaches the {enumeration(features.edges)} {edges} of the scan. Its volume and dose "
            f"beyond {beyond} are unknown."
        )
        yield Flag(name, "edge", sentence)


def _volume_flags(features: StructureFeatures, reference: StructureVolume | None) -> Iterator[Flag]:
    if reference is None:
        return
    low, high = reference.range_cm3
    if not low <= features.volume_cm3 <= high:
        size = "small" if features.volume_cm3 < low else "large"
        sentence = (
            f"{_display_name(features.structure)} is unusually {size}: {features.volume_cm3:.3g} cm³. "
            f"{100 * COVERED:.0f} % of patients similar to the {reference.patients} training patients have {low:.3g} "
            f"to {high:.3g} cm³. Check its extent."
        )
        yield Flag(features.structure, "volume", sentence)


def _agreement_flags(structure: str, agreement: float) -> Iterator[Flag]:
    if agreement < AGREEMENT:  # false for NaN, which means one forward pass
        sentence = (
            f"{_display_name(structure)} is uncertain: the averaged predictions agree with their mean only to "
            f"a Dice coefficient of {agreement:.2f}. Check its whole border."
        )
        yield Flag(structure, "disagreement", sentence)


@cache
def _display_name(structure: str) -> str:
    """Return the clinical name that people read, such as HR-CTV for ``hr_ctv``."""
    return StructureNames.load().display_name(structure)
