"""Measures of a correction: voxels, slices, contour length, surfaces and dose."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gynbtnet.evaluation.metrics.added_path_length import added_path_length
from gynbtnet.evaluation.metrics.metrics import dice
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.metrics.surface_distance import surface_distances
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Volume
from gynbtnet.review.case_dose import DoseChange, dose_changes, structure_dose
from gynbtnet.runtime.array_types import Mask


@dataclass(frozen=True)
class Correction:
    """Difference between the predicted and the corrected contour of one structure.

    Attributes:
        volume_before_cm3, volume_after_cm3: volumes in cm³.
        voxels_added, voxels_removed: numbers of voxels.
        slices_touched: number of slices of the scan with a changed voxel.
        added_path_length_mm: length of the corrected contour that wasn't predicted, mm; see
            :mod:`gynbtnet.evaluation.metrics.added_path_length`.
        added_path_length_share: its share of the corrected contour, 0 to 1; None if that is empty.
        added_path_length_1_voxel_mm: the same with a tolerance of one voxel, mm.
        added_path_length_1_voxel_share: its share; None if the corrected contour is empty.
        dsc: Dice similarity coefficient of both contours; None if both are empty.
        surface_dsc: share of both surfaces within the tolerance; None if one of the contours is empty.
        surface_dsc_tolerance_mm: the tolerance.
        dose: dose-volume metrics; empty without a dose.
    """

    volume_before_cm3: float
    volume_after_cm3: float
    voxels_added: int
    voxels_removed: int
    slices_touched: int
    added_path_length_mm: float
    added_path_length_share: float | None
    added_path_length_1_voxel_mm: float
    added_path_length_1_voxel_share: float | None
    dsc: float | None
    surface_dsc: float | None
    surface_dsc_tolerance_mm: float
    dose: tuple[DoseChange, ...] = ()


def measure_correction(
    structure: str,
    before: Mask,
    after: Mask,
    geometry: Geometry,
    *,
    doses: Sequence[Volume] = (),
    names: StructureNames | None = None,
) -> Correction:
    """Measure a correction.

    Args:
        structure: identifier of the structure.
        before: predicted mask (z, y, x); slices of the scan are along z.
        after: corrected mask on the same grid.
        geometry: grid of the masks.
        doses: dose grids in Gy whose sum is the dose.
        names: table that identifies targets; None: the built-in table.

    Returns:
        The measures.

    Example:
        >>> import numpy as np
        >>> before = np.zeros((4, 8, 8), bool)
        >>> before[1:3, 2:6, 2:6] = True
        >>> after = before.copy()
        >>> after[2, 2:6, 5] = False
        >>> correction = measure_correction("bladder", before, after, Geometry((4, 8, 8)))
        >>> correction.voxels_removed, correction.slices_touched, correction.added_path_length_mm
        (4, 1, 2.0)
    """
    tolerance = ScoringSettings().tolerance_mm
    box = bounding_box(before | after) or (slice(0, 1),) * 3
    old, new, grid = before[box], after[box], geometry.cropped(box)
    exact, tolerant = (added_path_length(old, new, grid.spacing, voxels) for voxels in (0, 1))
    surface = surface_distances(old, new, grid.spacing).surface_dsc(tolerance) if old.any() and new.any() else math.nan
    changes: tuple[DoseChange, ...] = ()
    if doses:
        predicted, corrected = (structure_dose(mask, grid, doses) for mask in (old, new))
        changes = dose_changes(structure, predicted, corrected, names or StructureNames.load())
    cm3 = geometry.voxel_volume / 1000
    return Correction(
        volume_before_cm3=round(int(old.sum()) * cm3, 4),
        volume_after_cm3=round(int(new.sum()) * cm3, 4),
        voxels_added=int((new & ~old).sum()),
        voxels_removed=int((old & ~new).sum()),
        slices_touched=int((old != new).any(axis=(1, 2)).sum()),
        added_path_length_mm=round(exact.added_mm, 3),
        added_path_length_share=_known(exact.share),
        added_path_length_1_voxel_mm=round(tolerant.added_mm, 3),
        added_path_length_1_voxel_share=_known(tolerant.share),
        dsc=_known(dice(old, new)),
        surface_dsc=_known(surface),
        surface_dsc_tolerance_mm=tolerance,
        dose=changes,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)
