"""Overlap, surface distances, volumes and centroids of a prediction against the truth.

Missing structures: a structure that the truth has and the prediction lacks is *missed*; one that only the prediction
has is *false*. ``ScoringSettings.missing_structure_policy`` sets their scores:

- "worst" (default): DSC and surface DSC are 0. Every distance is the largest that the case allows: no prediction on
  this grid can have a larger one against the structure that is present (:func:`worst_distance`; for the centroid
  :func:`worst_shift`). The added path length is the whole contour: that of the truth has to be drawn, that of a false
  structure has to be deleted.
- "diagonal": as "worst", but every distance is the diagonal of the grid, the same for every structure of a scan.
- "drop": no metrics.

Missed and false structures are counted with every policy. A structure that both lack is not scored. A structure that
the case's source does not contour is *unknown* and not scored. Nobody knows whether the patient has it, and so whether
the prediction is right. If the files of the prediction don't have a structure, not even as an empty ROI or mask, it is
*unpredicted* and not scored.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Literal

from gynbtnet.evaluation.metrics.added_path_length import added_path_length
from gynbtnet.evaluation.metrics.centroid import centroid_shift, worst_shift
from gynbtnet.evaluation.metrics.mesh_distance import mesh_distances, worst_mesh_distance
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.metrics.surface_distance import grid_diagonal, surface_distances, worst_distance
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import union_of_boxes
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import Box, Mask

MissingIn = Literal["none", "prediction", "truth", "both", "unknown", "unpredicted"]
NOT_SCORED: tuple[MissingIn, ...] = ("both", "unknown", "unpredicted")
"""Values of ``Score.missing_in`` for which no policy gives a score."""


@dataclass(frozen=True)
class Score:
    """Metrics of one structure of one case.

    Attributes:
        case: id of the case.
        patient: study ID of the patient; scores of one patient's fractions are not independent.
        structure: identifier of the structure.
        dsc: Dice similarity coefficient, 0 to 1. NaN if the structure is not scored: ``missing_in`` is one of
            :data:`NOT_SCORED`, or the policy drops structures that one side lacks.
        hd95_mm: larger of the two directed 95th percentiles of surface distance, mm; NaN if not scored.
        asd_mm: mean surface distance pooled over both surfaces, mm; NaN if not scored.
        missing_in: side that lacks the structure: "none", "prediction" (missed), "truth" (false structure) or "both"
            (not scored). "unknown" if the case's source does not contour the structure, and "unpredicted" if the
            prediction's files don't have it (both not scored).
        truth_cm3: volume in the truth; NaN if unknown.
        prediction_cm3: volume in the prediction; 0 if it is unpredicted.
        surface_dsc: share of both surfaces' voxels within the tolerance of the other surface, 0 to 1; NaN if not
            scored.
        hausdorff_mm: largest surface distance, mm; NaN if not scored.
        volume_difference_cm3: prediction minus truth; NaN if not scored.
        centroid_shift_mm: distance between the centres of mass, mm; NaN if not scored.
        added_path_length_mm: length of the truth's contour that the prediction lacks, mm; NaN if not scored. See
            :mod:`gynbtnet.evaluation.metrics.added_path_length`.
        added_path_length_share: the same as a share of the truth's contour, 0 to 1; NaN if not scored.
        added_path_length_1_voxel_mm: added path length with a tolerance of one voxel, mm; NaN if not scored.
        added_path_length_1_voxel_share: the same as a share of the truth's contour, 0 to 1; NaN if not scored.
    """

    case: str
    patient: str
    structure: str
    dsc: float
    hd95_mm: float
    asd_mm: float
    missing_in: MissingIn
    truth_cm3: float
    prediction_cm3: float
    surface_dsc: float
    hausdorff_mm: float
    volume_difference_cm3: float
    centroid_shift_mm: float
    added_path_length_mm: float = math.nan
    added_path_length_share: float = math.nan
    added_path_length_1_voxel_mm: float = math.nan
    added_path_length_1_voxel_share: float = math.nan

    @property
    def is_scored(self) -> bool:
        """Return whether the metrics are defined."""
        return not math.isnan(self.dsc)


def score_case(
    truth: Segmentation,
    prediction: Segmentation,
    *,
    case: str,
    patient: str,
    unknown: Collection[str] = (),
    unpredicted: Collection[str] = (),
    settings: ScoringSettings | None = None,
) -> list[Score]:
    """Score every structure of ``truth``, in its order, against the structure of the same name in ``prediction``.

    Args:
        truth: reference contours.
        prediction: predicted contours on the same grid.
        case: id of the case.
        patient: study ID of the patient.
        unknown: structures that the case's source does not contour.
        unpredicted: structures that the files of the prediction don't have.
        settings: policy for missing structures, kind of surface, and tolerances of the surface DSC.

    Returns:
        One score per structure.

    Raises:
        ValueError: If the shapes differ, or ``prediction`` does not have a structure of ``truth``.

    Example:
        >>> score = score_case(contours, contours, case="1", patient="A")[1]
        >>> score.structure, score.dsc, score.hd95_mm
        ('bladder', 1.0, 0.0)
    """
    settings = settings or ScoringSettings()
    geometry = truth.labels.geometry
    if geometry.shape != prediction.labels.geometry.shape:
        raise ValueError(f"shapes differ: truth {geometry.shape}, prediction {prediction.labels.geometry.shape}")
    truth_boxes, prediction_boxes = truth.boxes(), prediction.boxes()
    scores = []
    for structure in truth.structures:
        if structure not in prediction.structures:
            raise ValueError(f"the prediction has no structure {structure}, only {', '.join(prediction.structures)}")
        box = union_of_boxes((truth_boxes[structure], prediction_boxes[structure])) or _EMPTY_BOX
        truth_mask, predicted_mask = truth.mask(structure, box), prediction.mask(structure, box)
        missing_in = _missing_in(bool(truth_mask.any()), bool(predicted_mask.any()))
        if structure in unknown:
            missing_in = "unknown"
        elif structure in unpredicted:
            missing_in = "unpredicted"
        truth_cm3, predicted_cm3 = (
            float(mask.sum()) * geometry.voxel_volume / 1000 for mask in (truth_mask, predicted_mask)
        )
        metrics = _metrics(
            truth_mask, predicted_mask, missing_in, box, geometry, settings, settings.tolerance_of(structure)
        )
        scores.append(
            Score(
                case=case,
                patient=patient,
                structure=structure,
                dsc=metrics.dsc,
                hd95_mm=metrics.hd95,
                asd_mm=metrics.asd,
                missing_in=missing_in,
                truth_cm3=math.nan if missing_in == "unknown" else truth_cm3,
                prediction_cm3=predicted_cm3,
                surface_dsc=metrics.surface_dsc,
                hausdorff_mm=metrics.hausdorff,
                volume_difference_cm3=math.nan if math.isnan(metrics.dsc) else predicted_cm3 - truth_cm3,
                centroid_shift_mm=metrics.centroid_shift,
                added_path_length_mm=metrics.added_path_mm,
                added_path_length_share=metrics.added_path_share,
                added_path_length_1_voxel_mm=metrics.added_path_1_voxel_mm,
                added_path_length_1_voxel_share=metrics.added_path_1_voxel_share,
            )
        )
    return scores


def dice(truth: Mask, prediction: Mask) -> float:
    """Return the Dice similarity coefficient of two masks, 2·|A ∩ B| / (|A| + |B|).

    Args:
        truth: mask (z, y, x).
        prediction: mask (z, y, x) on the same grid.

    Returns:
        0 to 1; NaN if both masks are empty.

    Example:
        >>> import numpy as np
        >>> dice(np.array([True, True, False]), np.array([False, True, True]))
        0.5
    """
    size = int(truth.sum()) + int(prediction.sum())
    return 2 * int((truth & prediction).sum()) / size if size else float("nan")


@dataclass(frozen=True)
class _Metrics:
    """Metrics of two masks; distances in mm."""

    dsc: float
    surface_dsc: float
    hd95: float
    asd: float
    hausdorff: float
    centroid_shift: float
    added_path_mm: float
    added_path_share: float
    added_path_1_voxel_mm: float
    added_path_1_voxel_share: float


_EMPTY_BOX: Box = (slice(0, 0),) * 3
_NOT_SCORED = _Metrics(*[math.nan] * len(fields(_Metrics)))


def _metrics(
    truth: Mask,
    prediction: Mask,
    missing_in: MissingIn,
    box: Box,
    geometry: Geometry,
    settings: ScoringSettings,
    tolerance_mm: float,
) -> _Metrics:
    """Return the metrics of two masks in a box of the grid."""
    policy = settings.missing_structure_policy
    if missing_in in NOT_SCORED or (missing_in != "none" and policy == "drop"):
        return _NOT_SCORED
    if missing_in == "none":
        measure = mesh_distances if settings.surface == "mesh" else surface_distances
        distances = measure(truth, prediction, geometry.spacing)
        exact, tolerant = (added_path_length(prediction, truth, geometry.spacing, voxels) for voxels in (0, 1))
        return _Metrics(
            dsc=dice(truth, prediction),
            surface_dsc=distances.surface_dsc(tolerance_mm),
            hd95=distances.hd95,
            asd=distances.asd,
            hausdorff=distances.hausdorff,
            centroid_shift=centroid_shift(truth, prediction, geometry.spacing),
            added_path_mm=exact.added_mm,
            added_path_share=exact.share,
            added_path_1_voxel_mm=tolerant.added_mm,
            added_path_1_voxel_share=tolerant.share,
        )
    present = truth if missing_in == "prediction" else prediction
    if policy == "diagonal":
        worst = shift = grid_diagonal(geometry.spacing, geometry.shape)
    else:
        lower = tuple(side.start for side in box)
        farthest = worst_mesh_distance if settings.surface == "mesh" else worst_distance
        worst = farthest(present, geometry.spacing, lower, geometry.shape)
        shift = worst_shift(present, geometry.spacing, lower, geometry.shape)
    whole = added_path_length(present & False, present, geometry.spacing).total_mm
    return _Metrics(
        dsc=0.0,
        surface_dsc=0.0,
        hd95=worst,
        asd=worst,
        hausdorff=worst,
        centroid_shift=shift,
        added_path_mm=whole,
        added_path_share=1.0,
        added_path_1_voxel_mm=whole,
        added_path_1_voxel_share=1.0,
    )


def _missing_in(in_truth: bool, in_prediction: bool) -> MissingIn:
    if in_truth:
        return "none" if in_prediction else "prediction"
    return "truth" if in_prediction else "both"
