"""DSC, HD95 and ASD of a prediction against the truth, with a policy for structures that one of them lacks.

Policy. A structure that the truth has and the prediction lacks is *missed*: it scores DSC 0 and, for HD95 and ASD, the
worst distance of the case (:func:`gynbtnet.evaluation.surface_distance.worst_distance` from the truth's surface). A
structure that only the prediction has is *false* and scores alike, measured from the prediction's surface. Both are
counted. A structure that both lack isn't scored. Nor is one that the case's source doesn't contour: it is *unknown*
whether the patient has it, and so whether the prediction is right.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.evaluation.surface_distance import Mask, Spacing, surface_distances, worst_distance
from gynbtnet.imaging.volume import Segmentation

Missed = Literal["none", "prediction", "truth", "both", "unknown"]
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Score:
    """One structure of one case.

    Attributes:
        case: id of the case.
        patient: whose case it is; scores of one patient's fractions aren't independent.
        structure: its id.
        dsc: Dice similarity coefficient, 0 to 1; NaN where ``missed`` is "both" or "unknown".
        hd95_mm: larger of the two directed 95th percentiles of surface distance, mm; NaN as ``dsc``.
        asd_mm: mean surface distance pooled over both surfaces, mm; NaN as ``dsc``.
        missed: who lacks the structure: "prediction" (missed), "truth" (false structure), "both" (not scored), "none";
            "unknown" where the truth says nothing of it (not scored).
        truth_cm3: volume in the truth; NaN where that is unknown.
        prediction_cm3: volume in the prediction.
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

    @property
    def scored(self) -> bool:
        """Whether there are figures."""
        return not math.isnan(self.dsc)


def score(
    truth: Segmentation, prediction: Segmentation, *, case: str, patient: str, unknown: Collection[str] = ()
) -> list[Score]:
    """Score every structure of ``truth``, in its order, against the structure of the same name in ``prediction``.

    ``unknown`` are structures that the truth says nothing of.

    Raises:
        ValueError: where the shapes differ, or ``prediction`` doesn't know a structure of ``truth``.
    """
    geometry = truth.labels.geometry
    if geometry.shape != prediction.labels.geometry.shape:
        raise ValueError(f"shapes differ: truth {geometry.shape}, prediction {prediction.labels.geometry.shape}")
    truth_boxes, prediction_boxes = _boxes(truth), _boxes(prediction)
    scores = []
    for structure in truth.structures:
        if structure not in prediction.structures:
            raise ValueError(f"the prediction has no structure {structure}, only {', '.join(prediction.structures)}")
        box = _union(truth_boxes[structure], prediction_boxes[structure])
        true, predicted = (
            _masked(segmentation.labels.array[box], segmentation.structures.index(structure) + 1)
            for segmentation in (truth, prediction)
        )
        missed = "unknown" if structure in unknown else _missed(bool(true.any()), bool(predicted.any()))
        dsc, hd95, asd = _figures(true, predicted, missed, geometry.spacing, box, geometry.shape)
        true_cm3, predicted_cm3 = (float(mask.sum()) * geometry.voxel_volume / 1000 for mask in (true, predicted))
        true_cm3 = math.nan if missed == "unknown" else true_cm3
        scores.append(Score(case, patient, structure, dsc, hd95, asd, missed, true_cm3, predicted_cm3))
    return scores


def dice(truth: Mask, prediction: Mask) -> float:
    """2·|A ∩ B| / (|A| + |B|); NaN where both are empty."""
    size = int(truth.sum()) + int(prediction.sum())
    return 2 * int((truth & prediction).sum()) / size if size else float("nan")


def _figures(
    truth: Mask, prediction: Mask, missed: Missed, spacing: Spacing, box: Box, shape: tuple[int, ...]
) -> tuple[float, float, float]:
    if missed in ("both", "unknown"):
        return float("nan"), float("nan"), float("nan")
    if missed == "none":
        distances = surface_distances(truth, prediction, spacing)
        return dice(truth, prediction), distances.hd95, distances.asd
    lower = tuple(side.start for side in box)
    worst = worst_distance(truth if missed == "prediction" else prediction, spacing, lower, shape)
    return 0.0, worst, worst


def _missed(in_truth: bool, in_prediction: bool) -> Missed:
    if in_truth:
        return "none" if in_prediction else "prediction"
    return "truth" if in_prediction else "both"


def _boxes(segmentation: Segmentation) -> dict[str, Box | None]:
    """The smallest box around each structure, found in one pass; None where a structure is absent."""
    found = ndimage.find_objects(segmentation.labels.array, max_label=len(segmentation.structures))
    return dict(zip(segmentation.structures, found, strict=True))


def _union(first: Box | None, second: Box | None) -> Box:
    boxes = [box for box in (first, second) if box is not None]
    if not boxes:
        return (slice(0, 0),) * 3
    return tuple(slice(min(s.start for s in sides), max(s.stop for s in sides)) for sides in zip(*boxes, strict=True))


def _masked(labels: npt.NDArray[np.integer], label: int) -> Mask:
    return np.asarray(labels == label)
