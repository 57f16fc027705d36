"""What a human should look at in contours, a sentence each: seen without the truth, from the contours themselves."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gynbtnet.inference.engine.contours import Prediction
from gynbtnet.inference.quality.structure_features import StructureFeatures
from gynbtnet.inference.quality.target_position import TARGET, implausible_target_position
from gynbtnet.preparation.planning.structure_volumes import COVERED, StructureVolume

FlagKind = Literal["missing", "fragmented", "edge", "volume", "place", "disagreement"]

MAIN_SHARE = 0.95
"""Of a structure's voxels in its largest piece, less is fragmented."""
AGREEMENT = 0.7
"""Mean Dice coefficient of the single passes with their mean, less is disagreement: human readers of the HR-CTV on CT
agree with one another to about 0.73 (doi 10.5114/jcb.2023.131242)."""


@dataclass(frozen=True)
class Flag:
    """Something to look at.

    Attributes:
        structure: whose contours.
        kind: which rule.
        sentence: what was found and what to check.
    """

    structure: str
    kind: FlagKind
    sentence: str


def failure_flags(
    contours: Prediction, figures: Sequence[StructureFeatures], volumes: Sequence[StructureVolume] = ()
) -> tuple[Flag, ...]:
    """The flags of all structures, in their order.

    Args:
        contours: what was drawn.
        figures: counted on it, see :func:`gynbtnet.inference.quality.structure_features.structure_features`.
        volumes: those of the training; a structure that isn't among them has no range.
    """
    known = {volume.structure: volume for volume in volumes}
    place = implausible_target_position(contours.segmentation)
    found: list[Flag] = []
    for of_structure in figures:
        name = of_structure.structure
        if of_structure.volume_cm3 == 0:
            sentence = f"{name} is missing: nothing was drawn; draw it by hand, unless the patient has none."
            found.append(Flag(name, "missing", sentence))
            continue
        found += _of_shape(of_structure)
        found += _of_volume(of_structure, known.get(name))
        if name == TARGET and place:
            found.append(Flag(name, "place", f"{name} {place}; check that the cervix was found."))
        found += _of_agreement(name, contours.agreement.get(name, math.nan))
    return tuple(found)


def _of_shape(figures: StructureFeatures) -> Iterator[Flag]:
    name = figures.structure
    if figures.main_share < MAIN_SHARE:
        sentence = (
            f"{name} is in {figures.pieces} pieces, with {100 * (1 - figures.main_share):.0f} % of its volume outside "
            "the largest; join them or delete what doesn't belong."
        )
        yield Flag(name, "fragmented", sentence)
    if figures.edges:
        sides = " and ".join(figures.edges)
        yield Flag(name, "edge", f"{name} reaches the scan's {sides} edge; its volume and dose beyond aren't known.")


def _of_volume(figures: StructureFeatures, learned: StructureVolume | None) -> Iterator[Flag]:
    if learned is None:
        return
    low, high = learned.range_cm3
    if not low <= figures.volume_cm3 <= high:
        size = "small" if figures.volume_cm3 < low else "large"
        sentence = (
            f"{figures.structure} is {size}: {figures.volume_cm3:.3g} cm³, where {100 * COVERED:.0f} % of patients "
            f"like the {learned.patients} of the training have {low:.3g} to {high:.3g} cm³; check its extent."
        )
        yield Flag(figures.structure, "volume", sentence)


def _of_agreement(structure: str, agreement: float) -> Iterator[Flag]:
    if agreement < AGREEMENT:  # NaN, where there was one pass, is less than nothing
        sentence = (
            f"{structure} was drawn differently by the model's single passes, which agree to a Dice coefficient of "
            f"{agreement:.2f} with their mean; check all of its border."
        )
        yield Flag(structure, "disagreement", sentence)
