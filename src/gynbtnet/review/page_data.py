"""Content of the page for a case, as plain values and packed arrays in display orientation."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.imaging.resample_to_grid import resample_dose
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.overlays import visible_colour
from gynbtnet.review.case import ReviewCase
from gynbtnet.review.case_dose import dose_changes, structure_dose
from gynbtnet.review.flag_positions import flag_position
from gynbtnet.review.open_reviews import OpenReview, OpenReviews
from gynbtnet.review.patches import Patch
from gynbtnet.runtime.array_types import Float32Array, Mask

DOSE_SPACING_MM = 2.0
"""Smallest spacing of the dose that the page gets; it interpolates between the points."""
_CURVE_POINTS = 60


@dataclass(frozen=True)
class PackedMask:
    """A mask as bits.

    Attributes:
        box: first index and size along (z, y, x).
        bits: one bit per voxel of the box in C order, the first in the highest bit.
    """

    box: tuple[int, ...]
    bits: bytes

    @classmethod
    def of(cls, mask: Mask) -> "PackedMask":
        """Return a mask (z, y, x) packed."""
        box = bounding_box(mask)
        if box is None:
            return cls((0,) * 6, b"")
        inside = mask[box]
        return cls((*(side.start for side in box), *inside.shape), np.packbits(inside.ravel()).tobytes())


def describe_worklist(reviews: OpenReviews) -> dict[str, Any]:
    """Return the worklist as it is now: the cases by number, and their numbers in the order to show."""
    items = reviews.current_items()
    cases = [
        {
            "name": item.name,
            "flags": item.flags,
            "structures_flagged": item.structures_flagged,
            "lowest_dsc": item.lowest_dsc,
            "synthetic": item.synthetic,
            "is_written": item.is_written,
            "problem": item.problem,
        }
        for item in items
    ]
    return {
        "cases": cases,
        "order": sorted(range(len(items)), key=lambda number: items[number].order),
        "grows": reviews.grows,
        "approve": reviews.options.reviewer,
        "report": reviews.options.report is not None,
    }


def describe_case(review: OpenReview) -> dict[str, Any]:
    """Return everything about a case except its arrays."""
    case, session, names = review.case, review.session, StructureNames.load()
    structures = []
    for structure in session.structures:
        automatic = session.displayed(structure, automatic=True)
        predicted = case.record.predicted_dsc.get(structure)
        flags = [flag for flag in case.record.flags if flag.structure == structure]
        structures.append(
            {
                "id": structure,
                "name": names.display_name(structure),
                "colour": [int(visible_colour(structure, names)[i : i + 2], 16) for i in (1, 3, 5)],
                "predicted_dsc": None if predicted is None else asdict(predicted),
                "flags": [
                    {"kind": flag.kind, "sentence": flag.sentence, "position": flag_position(flag.kind, automatic)}
                    for flag in flags
                ],
                "has_reference": case.reference is not None and structure in case.reference.structures,
            }
        )
    grid = _display_grid(case)
    return {
        "name": case.name,
        "synthetic": case.record.synthetic,
        "shape": list(session.shape),
        "spacing": list(session.display_spacing),
        "slice_axis": session.slice_axis,
        "structures": structures,
        "notes": [*case.notes, *case.record.warnings],
        "dose_shape": list(_dose_grid(grid).shape) if case.doses else None,
        "state": describe_state(review),
    }


def describe_state(review: OpenReview) -> dict[str, Any]:
    """Return what changes with every action."""
    session = review.session
    cm3 = review.case.scan.geometry.voxel_volume / 1000
    return {
        "revision": session.revision,
        "can_undo": bool(session.done),
        "can_redo": bool(session.undone),
        "structures": [
            {
                "volume_cm3": session.voxels(structure) * cm3,
                "edited": session.is_edited(structure),
                "accepted": structure in session.accepted,
                "viewed": session.viewed_share(structure),
            }
            for structure in session.structures
        ],
    }


def describe_patches(structure: str, patches: Sequence[Patch]) -> dict[str, Any]:
    """Return changed voxels, for the page to apply."""
    return {"structure": structure, "patches": [asdict(patch) for patch in patches]}


def display_image(case: ReviewCase) -> npt.NDArray[np.int16]:
    """Return the scan in HU (z, y, x) in display orientation, little-endian."""
    image = reorientation_to_lps(case.scan.geometry).array(case.scan.array)
    if image.dtype != np.int16:
        image = np.rint(image).clip(-32768, 32767)
    return np.ascontiguousarray(image, "<i2")


def display_dose(case: ReviewCase) -> Float32Array:
    """Return the dose in Gy on a coarser grid of the scan's extent (z, y, x), in display orientation."""
    grid = _dose_grid(_display_grid(case))
    total = np.zeros(grid.shape, np.float32)
    for dose in case.doses:
        total += resample_dose(dose, grid).array
    return np.ascontiguousarray(total, "<f4")


def reference_mask(review: OpenReview, structure: str) -> Mask | None:
    """Return the reference contour of a structure in display orientation; None if there is none."""
    reference = review.case.reference
    if reference is None or structure not in reference.structures:
        return None
    return reorientation_to_lps(review.case.scan.geometry).array(reference.mask(structure))


def describe_dose(review: OpenReview, structure: str) -> dict[str, Any]:
    """Return dose metrics of a structure before and after the edits, and its cumulative histograms."""
    case, session = review.case, review.session
    geometry = case.scan.geometry
    with review.lock:
        mask = session.masks[structure].copy()
    if structure not in review.predicted_doses:
        review.predicted_doses[structure] = structure_dose(session.automatic[structure], geometry, case.doses)
    before = review.predicted_doses[structure]
    after = structure_dose(mask, geometry, case.doses)
    highest = max((float(dose.doses_gy[0]) for dose in (before, after) if len(dose.doses_gy)), default=0.0)
    axis = np.linspace(0, min(highest, 3 * max(1.0, _median(after.doses_gy))), _CURVE_POINTS)
    curves = [
        (dose.volume_at(axis) / dose.volume_cm3 if dose.volume_cm3 else axis * 0).round(5) for dose in (before, after)
    ]
    return {
        "metrics": [asdict(change) for change in dose_changes(structure, before, after, StructureNames.load())],
        "dose_gy": axis.round(3).tolist(),
        "before": curves[0].tolist(),
        "after": curves[1].tolist(),
    }


def _median(doses: Float32Array) -> float:
    return float(np.median(doses)) if len(doses) else 0.0


def _display_grid(case: ReviewCase) -> Geometry:
    return reorientation_to_lps(case.scan.geometry).geometry(case.scan.geometry)


def _dose_grid(grid: Geometry) -> Geometry:
    z, y, x = (max(length, DOSE_SPACING_MM) for length in grid.spacing)
    return grid.with_spacing((z, y, x))
