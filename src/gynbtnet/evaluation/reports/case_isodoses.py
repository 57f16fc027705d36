"""Isodoses of a case in the viewers of a report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import Mask


@dataclass(frozen=True)
class CaseIsodoses:
    """Isodoses of one case.

    Attributes:
        masks: voxels (z, y, x) of the image with at least a dose, by the name of the level; empty without a dose.
        note: sentence on the dose for the caption of the viewer; empty without a dose.
    """

    masks: Mapping[str, Mask] = field(default_factory=dict)
    note: str = ""


DrawIsodoses = Callable[[str, Volume], CaseIsodoses]
"""Returns the isodoses of a case, by its id, on the grid of an image."""


def no_isodoses(case_id: str, image: Volume) -> CaseIsodoses:
    """Return no isodoses, for cases without a dose."""
    return CaseIsodoses()
