"""What is likely to be wrong with contours, structure by structure."""

from dataclasses import dataclass

from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.contours import Contours


@dataclass(frozen=True)
class Flag:
    """One thing that a reader of contours has to look at.

    Attributes:
        structure: which one.
        kind: what is wrong, one word: "missing".
        sentence: the same for people.
    """

    structure: str
    kind: str
    sentence: str


def flags_of(contours: Contours, scan: Volume) -> tuple[Flag, ...]:
    """The flags of a prediction, in the order of its structures."""
    found = contours.segmentation
    absent = [structure for structure in found.structures if not found.mask(structure).any()]
    return tuple(Flag(structure, "missing", "Nothing was found of it.") for structure in absent)
