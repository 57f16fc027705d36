"""What a contourer found on a scan."""

from collections.abc import Mapping
from dataclasses import dataclass

from gynbtnet.imaging.volume import Segmentation


@dataclass(frozen=True)
class Prediction:
    """Structures on a scan's own grid, and how sure of them the contourer was.

    Attributes:
        segmentation: labels of the structures.
        agreement: of each structure the mean Dice coefficient of the single passes, every member of an ensemble in
            every mirror image, with their mean, counted in the windows; NaN where there was one pass, or where nothing
            was drawn.
    """

    segmentation: Segmentation
    agreement: Mapping[str, float]
