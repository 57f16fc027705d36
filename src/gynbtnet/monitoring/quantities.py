"""Quantities that are monitored, taken from a review and its prediction."""

from dataclasses import dataclass

from gynbtnet.monitoring.reviewed_predictions import ReviewedPrediction
from gynbtnet.review.record import StructureReview

_REVIEWED = ("accepted unchanged", "accepted edited", "edited elsewhere", "unchanged")
"""Status of a structure that a person has finished with."""


@dataclass(frozen=True)
class Quantity:
    """A monitored quantity.

    Attributes:
        name: column of tables.
        title: name for people, with its unit.
        decimals: decimals in tables.
    """

    name: str
    title: str
    decimals: int


QUANTITIES = (
    Quantity("edited_share", "edited share of the contour", 3),
    Quantity("added_path_length_mm", "added path length (mm)", 0),
    Quantity("untouched", "share accepted untouched", 2),
    Quantity("flags", "flags", 2),
    Quantity("volume_cm3", "predicted volume (cm³)", 1),
)
"""Quantities of each structure."""
SCAN_QUANTITIES = (
    Quantity("body_hu_mean", "HU of the body, mean", 1),
    Quantity("body_hu_sd", "HU of the body, SD", 1),
)
"""Quantities of each scan."""


def measure_structure(one: ReviewedPrediction, structure: str) -> dict[str, float | None]:
    """Return the quantities of one structure by name; None if unknown.

    A structure that was adapted to its patient is unknown, since its contour isn't the model's. Corrections are known
    only if a person has finished with the structure. The edited share is the added path length as
    a share of the corrected contour.
    """
    values: dict[str, float | None] = dict.fromkeys(quantity.name for quantity in QUANTITIES)
    adaptation = one.prediction.adaptation if one.prediction else None
    if adaptation is not None and structure in adaptation.structures:
        return values
    review = one.review.structures.get(structure)
    if review is not None and review.correction is not None:
        values["volume_cm3"] = review.correction.volume_before_cm3
        if review.status in _REVIEWED:
            values["edited_share"] = review.correction.added_path_length_share
            values["added_path_length_mm"] = review.correction.added_path_length_mm
            values["untouched"] = float(_is_untouched(review))
    if one.prediction is not None:
        values["flags"] = float(sum(flag.structure == structure for flag in one.prediction.flags))
    return values


def measure_scan(one: ReviewedPrediction) -> dict[str, float | None]:
    """Return the quantities of the scan by name; None if unknown."""
    body = one.prediction.body_hu if one.prediction else None
    return {"body_hu_mean": body.mean if body else None, "body_hu_sd": body.sd if body else None}


def _is_untouched(review: StructureReview) -> bool:
    correction = review.correction
    return correction is not None and not correction.voxels_added and not correction.voxels_removed
