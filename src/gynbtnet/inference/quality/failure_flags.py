"""What a human should look at in contours, a sentence each: seen without the truth, from the contours themselves."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from gynbtnet.imaging.structure_names import StructureNames
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
            sentence = f"{_display_name(name)} was not found. Contour it manually unless it has been removed."
            found.append(Flag(name, "missing", sentence))
            continue
        found += _of_shape(of_structure)
        found += _of_volume(of_structure, known.get(name))
        if name == TARGET and place:
            found.append(Flag(name, "place", f"{_display_name(name)} {place}. Check that the cervix was found."))
        found += _of_agreement(name, contours.agreement.get(name, math.nan))
    return tuple(found)


def _of_shape(figures: StructureFeatures) -> Iterator[Flag]:
    name = figures.structure
    if figures.main_share < MAIN_SHARE:
        sentence = (
            f"{_display_name(name)} has {figures.pieces} separate parts; {100 * (1 - figures.main_share):.0f} % of its "
            "volume is outside the largest. Connect them or delete the wrong ones."
        )
        yield Flag(name, "fragmented", sentence)
    if figures.edges:
        sides = " and ".join(figures.edges)
        sentence = (
            f"{_display_name(name)} reaches the {sides} edge of the scan. Its volume and dose beyond it are unknown."
        )
        yield Flag(name, "edge", sentence)


def _of_volume(figures: StructureFeatures, learned: StructureVolume | None) -> Iterator[Flag]:
    if learned is None:
        return
    low, high = learned.range_cm3
    if not low <= figures.volume_cm3 <= high:
        size = "small" if figures.volume_cm3 < low else "large"
        sentence = (
            f"{_display_name(figures.structure)} is unusually {size}: {figures.volume_cm3:.3g} cm³. "
            f"{100 * COVERED:.0f} % of patients similar to the {learned.patients} training patients have {low:.3g} to "
            f"{high:.3g} cm³. Check its extent."
        )
        yield Flag(figures.structure, "volume", sentence)


def _of_agreement(structure: str, agreement: float) -> Iterator[Flag]:
    if agreement < AGREEMENT:  # NaN, where there was one pass, is less than nothing
        sentence = (
            f"{_display_name(structure)} is uncertain: the averaged predictions agree with their mean only to "
            f"a Dice coefficient of {agreement:.2f}. Check its whole border."
        )
        yield Flag(structure, "disagreement", sentence)


@cache
def _display_name(structure: str) -> str:
    """Return the clinical name that people read, such as HR-CTV for ``hr_ctv``."""
    return StructureNames.load().display_name(structure)
