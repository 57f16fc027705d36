"""What structures lose in a label map, which gives every voxel to one of them, and how much of that is accepted."""

from collections.abc import Sequence
from dataclasses import dataclass

from gynbtnet.imaging.label_map import Overlap
from gynbtnet.imaging.targets import target_depth
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import enumeration

LARGEST_LOSS = 0.2
"""Share of its drawn volume that a structure may lose unless the user accepts more."""

_ROUNDING = 1e-9


class OverlapTooLarge(BadInput):
    """A structure would lose so much of its volume to others that the label map no longer shows it."""


@dataclass(frozen=True)
class OverlapLoss:
    """What one structure loses in the label map.

    Attributes:
        structure: its id.
        drawn_cm3: its volume as drawn.
        lost_cm3: the part that other structures have in the label map.
        winners: these structures, most voxels first.
        covered: whether nothing of it is left.
    """

    structure: str
    drawn_cm3: float
    lost_cm3: float
    winners: tuple[str, ...]
    covered: bool

    @property
    def too_large(self) -> bool:
        """Whether it is more than ``LARGEST_LOSS`` of the drawn volume."""
        return self.covered or self.lost_cm3 > LARGEST_LOSS * self.drawn_cm3 * (1 + _ROUNDING)

    @property
    def in_label_map(self) -> str:
        """What a reader of the label map has to know of it."""
        said = f"{self.structure} loses {self.amount} in the label map, which gives these voxels to "
        rest = " Nothing of it is left there, which means unknown, not absent." if self.covered else ""
        return f"{said}{enumeration(self.winners)}.{rest}"

    @property
    def in_cohort(self) -> str:
        """What a reader of a cohort has to know of it, which keeps the drawn contour also."""
        return f"{self.in_label_map} Its volume, dose and scores are those of the drawn contour."

    @property
    def amount(self) -> str:
        """Such as "12.00 of 80.00 cm³ (15 %)"."""
        percent = 100 * self.lost_cm3 / self.drawn_cm3
        return f"{self.lost_cm3:.2f} of {self.drawn_cm3:.2f} cm³ ({percent:.3g} %)"


def measure_overlap_losses(segmentation: Segmentation, overlaps: Sequence[Overlap]) -> tuple[OverlapLoss, ...]:
    """The losses of every structure that loses any, in the order of the structures.

    Args:
        segmentation: the label map, with the drawn masks of what overlaps.
        overlaps: as :func:`gynbtnet.imaging.label_map.label_map` returned them with it.
    """
    found = []
    for structure in segmentation.structures:
        taken = sorted((one for one in overlaps if one.earlier == structure), key=lambda one: -one.volume_cm3)
        if taken:
            found.append(
                OverlapLoss(
                    structure=structure,
                    drawn_cm3=segmentation.volume_cm3(structure),
                    lost_cm3=sum(one.volume_cm3 for one in taken),
                    winners=tuple(one.later for one in taken),
                    covered=not bool((segmentation.labels.array == segmentation.label_of(structure)).any()),
                )
            )
    return tuple(found)


def check_losses(losses: Sequence[OverlapLoss]) -> None:
    """See that no structure loses more than ``LARGEST_LOSS`` of its volume.

    Raises:
        OverlapTooLarge: If one does, with all that do and the way out.
    """
    large = [one for one in losses if one.too_large]
    if large:
        equals = any(target_depth(one.structure) == target_depth(other) for one in large for other in one.winners)
        order = "name it after the other in --structures, " if equals else ""
        said = "; ".join(f"{one.structure} would lose {one.amount} to {enumeration(one.winners)}" for one in large)
        raise OverlapTooLarge(
            f"Contours overlap, and a label map gives each voxel to one structure: {said}. At most "
            f"{100 * LARGEST_LOSS:.0f} % may be lost: correct the contours, {order}leave one of the structures out, or "
            "accept it with --allow-overlap."
        )
