"""Overlap, surfaces, volumes and centroids of a prediction against the truth, with a policy for what one of them lacks.

Policy. A structure that the truth has and the prediction lacks is *missed*; one that only the prediction has is
*false*. By default either scores DSC and surface DSC 0 and, for every distance, the worst that the case allows: no
prediction on this grid can have a larger one against the structure that is there (:func:`worst_distance`, and for the
centroid :func:`worst_shift`). With "diagonal" the distances are the grid's diagonal instead, the same for every
structure of a scan; with "drop" there are no figures. Whichever it is, both are counted. A structure that both lack
isn't scored. Nor is one that the case's source doesn't contour: it is *unknown* whether the patient has it, and so
whether the prediction is right.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from gynbtnet.evaluation.metrics.centroid import centroid_shift, worst_shift
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.metrics.surface_distance import diagonal, surface_distances, worst_distance
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import union_of_boxes
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import Box, Mask

Missed = Literal["none", "prediction", "truth", "both", "unknown"]


@dataclass(frozen=True)
class Score:
    """One structure of one case.

    Attributes:
        case: id of the case.
        patient: whose case it is; scores of one patient's fractions aren't independent.
        structure: its id.
        dsc: Dice similarity coefficient, 0 to 1; NaN where nothing is scored: ``missed`` is "both" or "unknown", or the
            policy drops what one side lacks.
        hd95_mm: larger of the two directed 95th percentiles of surface distance, mm; NaN as ``dsc``.
        asd_mm: mean surface distance pooled over both surfaces, mm; NaN as ``dsc``.
        missed: who lacks the structure: "prediction" (missed), "truth" (false structure), "both" (not scored), "none";
            "unknown" where the truth says nothing of it (not scored).
        truth_cm3: volume in the truth; NaN where that is unknown.
        prediction_cm3: volume in the prediction.
        surface_dsc: share of both surfaces' voxels that lie within the tolerance of the other surface, 0 to 1; NaN as
            ``dsc``.
        hausdorff_mm: largest surface distance, mm; NaN as ``dsc``.
        volume_difference_cm3: prediction minus truth; NaN as ``dsc``.
        centroid_shift_mm: distance between the centres of mass, mm; NaN as ``dsc``.
    """

    case: str
    patient: str
    structure: str
    dsc: float
    hd95_mm: float
    asd_mm: float
    missed: Missed
    truth_cm3: float
    prediction_cm3: float
    surface_dsc: float
    hausdorff_mm: float
    volume_difference_cm3: float
    centroid_shift_mm: float

    @property
    def scored(self) -> bool:
        """Whether there are figures."""
        return not math.isnan(self.dsc)


def score(
    truth: Segmentation,
    prediction: Segmentation,
    *,
    case: str,
    patient: str,
    unknown: Collection[str] = (),
    settings: ScoringSettings | None = None,
) -> list[Score]:
    """Score every structure of ``truth``, in its order, against the structure of the same name in ``prediction``.

    ``unknown`` are structures that the truth says nothing of.

    Raises:
        ValueError: where the shapes differ, or ``prediction`` doesn't know a structure of ``truth``.
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
        true, predicted = truth.mask(structure, box), prediction.mask(structure, box)
        missed = "unknown" if structure in unknown else _missed(bool(true.any()), bool(predicted.any()))
        true_cm3, predicted_cm3 = (float(mask.sum()) * geometry.voxel_volume / 1000 for mask in (true, predicted))
        figures = _figures(true, predicted, missed, box, geometry, settings)
        scores.append(
            Score(
                case=case,
                patient=patient,
                structure=structure,
                dsc=figures.dsc,
                hd95_mm=figures.hd95,
                asd_mm=figures.asd,
                missed=missed,
                truth_cm3=math.nan if missed == "unknown" else true_cm3,
                prediction_cm3=predicted_cm3,
                surface_dsc=figures.surface_dsc,
                hausdorff_mm=figures.hausdorff,
                volume_difference_cm3=math.nan if math.isnan(figures.dsc) else predicted_cm3 - true_cm3,
                centroid_shift_mm=figures.centroid_shift,
            )
        )
    return scores


def dice(truth: Mask, prediction: Mask) -> float:
    """2·|A ∩ B| / (|A| + |B|); NaN where both are empty."""
    size = int(truth.sum()) + int(prediction.sum())
    return 2 * int((truth & prediction).sum()) / size if size else float("nan")


@dataclass(frozen=True)
class _Figures:
    dsc: float
    surface_dsc: float
    hd95: float
    asd: float
    hausdorff: float
    centroid_shift: float


_EMPTY_BOX: Box = (slice(0, 0),) * 3
_NOT_SCORED = _Figures(*[math.nan] * 6)


def _figures(
    truth: Mask, prediction: Mask, missed: Missed, box: Box, geometry: Geometry, settings: ScoringSettings
) -> _Figures:
    """Of masks in a box of the grid; distances in mm."""
    if missed in ("both", "unknown") or (missed != "none" and settings.policy == "drop"):
        return _NOT_SCORED
    if missed == "none":
        distances = surface_distances(truth, prediction, geometry.spacing)
        return _Figures(
            dsc=dice(truth, prediction),
            surface_dsc=distances.surface_dsc(settings.tolerance_mm),
            hd95=distances.hd95,
            asd=distances.asd,
            hausdorff=distances.hausdorff,
            centroid_shift=centroid_shift(truth, prediction, geometry.spacing),
        )
    if settings.policy == "diagonal":
        worst = shift = diagonal(geometry.spacing, geometry.shape)
    else:
        present, lower = (truth if missed == "prediction" else prediction), tuple(side.start for side in box)
        worst = worst_distance(present, geometry.spacing, lower, geometry.shape)
        shift = worst_shift(present, geometry.spacing, lower, geometry.shape)
    return _Figures(dsc=0.0, surface_dsc=0.0, hd95=worst, asd=worst, hausdorff=worst, centroid_shift=shift)


def _missed(in_truth: bool, in_prediction: bool) -> Missed:
    if in_truth:
        return "none" if in_prediction else "prediction"
    return "truth" if in_prediction else "both"
