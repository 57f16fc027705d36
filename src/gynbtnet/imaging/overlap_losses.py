"""Volume that overlapping structures lose in a label map, and the largest loss that is accepted."""

from collections.abc import Sequence
from dataclasses import dataclass

from gynbtnet.imaging.label_map import Overlap
from gynbtnet.imaging.targets import target_depth
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import enumeration

LARGEST_LOSS = 0.2
"""Largest share of its drawn volume that a structure may lose unless the user accepts more."""

_ROUNDING = 1e-9


class OverlapTooLarge(BadInput):
    """A structure would lose too much of its volume to others in the label map."""


@dataclass(frozen=True)
class OverlapLoss:
    """Loss of one structure in the label map.

    Attributes:
        structure: id of the structure.
        drawn_cm3: its volume as drawn, in cm³.
        lost_cm3: the part that other structures get in the label map, in cm³.
        winners: these structures, the one with most voxels first.
        covered: True if no voxel of the structure remains.
    """

    structure: str
    drawn_cm3: float
    lost_cm3: float
    winners: tuple[str, ...]
    covered: bool

    @property
    def too_large(self) -> bool:
        """True if the loss is more than ``LARGEST_LOSS`` of the drawn volume."""
        return self.covered or self.lost_cm3 > LARGEST_LOSS * self.drawn_cm3 * (1 + _ROUNDING)

    @property
    def in_label_map(self) -> str:
        """Note for readers of the label map."""
        rest = " No voxel of it is left there; this means unknown, not absent." if self.covered else ""
        return f"{self.structure} loses {self.amount} in the label map to {enumeration(self.winners)}.{rest}"

    @property
    def in_cohort(self) -> str:
        """Note for readers of a cohort, which also keeps the drawn contour."""
        return f"{self.in_label_map} Its volume, dose and scores are those of the drawn contour."

    @property
    def amount(self) -> str:
        """Text such as "12.00 of 80.00 cm³ (15 %)"."""
        percent = 100 * self.lost_cm3 / self.drawn_cm3
        return f"{self.lost_cm3:.2f} of {self.drawn_cm3:.2f} cm³ ({percent:.3g} %)"


def measure_overlap_losses(segmentation: Segmentation, overlaps: Sequence[Overlap]) -> tuple[OverlapLoss, ...]:
    """Return the losses of the structures that lose voxels, in the order of the structures.

    Args:
        segmentation: the label map, with the drawn masks of overlapping structures.
        overlaps: overlaps that :func:`gynbtnet.imaging.label_map.paint_label_map` returned with it.
    """
    losses = []
    for structure in segmentation.structures:
        taken = sorted((each for each in overlaps if each.earlier == structure), key=lambda each: -each.volume_cm3)
        if taken:
            losses.append(
                OverlapLoss(
                    structure=structure,
                    drawn_cm3=segmentation.volume_cm3(structure),
                    lost_cm3=sum(overlap.volume_cm3 for overlap in taken),
                    winners=tuple(overlap.later for overlap in taken),
                    covered=not bool((segmentation.labels.array == segmentation.label_of(structure)).any()),
                )
            )
    return tuple(losses)


def check_losses(losses: Sequence[OverlapLoss], *, remedy: str = "or accept it with --allow-overlap") -> None:
    """Check that no structure loses more than ``LARGEST_LOSS`` of its volume.

    Args:
        losses: losses of the structures.
        remedy: end of the message: how to accept the overlap.

    Raises:
        OverlapTooLarge: If a structure does; the message names all such structures and the remedies.
    """
    large = [loss for loss in losses if loss.too_large]
    if large:
        equals = any(target_depth(loss.structure) == target_depth(other) for loss in large for other in loss.winners)
        order = "name it after the other in --structures, " if equals else ""
        listed = "; ".join(
            f"{loss.structure} would lose {loss.amount} to {enumeration(loss.winners)}" for loss in large
        )
        raise OverlapTooLarge(
            f"Contours overlap, and a label map gives each voxel to one structure: {listed}. At most "
            f"{100 * LARGEST_LOSS:.0f} % may be lost: correct the contours, {order}omit one of the structures, "
            f"{remedy}."
        )
