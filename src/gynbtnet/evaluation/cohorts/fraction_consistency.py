"""Whether contours of one patient agree over the fractions: the spread of DSC, the drift of volume and place.

Volume and place drift by themselves from fraction to fraction; what counts is whether the prediction's drift is the
truth's. A drift is the slope of a least-squares line over the fractions' numbers. A place is a centroid relative to
that of the truth's reference structure in the same fraction, since two fractions share no frame of reference: HR-CTV,
which the applicator holds, or the cohort's first structure where it has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import Evaluation, read_prediction, read_truth
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.progress import track

TARGET = "hr_ctv"
HEADS = {
    "patient": "patient",
    "structure": "structure",
    "fractions": "fractions",
    "missed": "missed",
    "dsc_mean": "DSC, mean",
    "dsc_sd": "DSC, SD",
    "truth_cm3_drift": "volume drift, truth (cm³ a fraction)",
    "prediction_cm3_drift": "volume drift, prediction (cm³ a fraction)",
    "truth_mm_drift": "centroid drift, truth (mm a fraction)",
    "prediction_mm_drift": "centroid drift, prediction (mm a fraction)",
    "apart_mm_drift": "centroid drift, prediction from truth (mm a fraction)",
}
"""Columns of :func:`fraction_consistency`, and what people read above them."""

Points = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Centroids:
    """Where the structures of a case lie.

    Attributes:
        truth: by structure its centroid relative to the reference's, (x, y, z) in mm; without those that are absent.
        prediction: the same of the prediction, relative to the same point.
    """

    truth: Points
    prediction: Points


def centroids(cohort: Cohort, predictions: Path) -> dict[str, Centroids]:
    """By case id, of the cases whose truth has the reference structure; every label map is read.

    Raises:
        BadInput: as of :func:`gynbtnet.evaluation.metrics.evaluation.evaluate`.
    """
    found = {}
    for case in track(cohort.cases, "Find centroids"):
        truth = _centroids(read_truth(case, cohort.structures))
        reference = truth.get(reference_of(cohort.structures))
        if reference is not None:
            prediction = _centroids(read_prediction(case, predictions, cohort.structures))
            found[case.id] = Centroids(
                *({name: point - reference for name, point in one.items()} for one in (truth, prediction))
            )
    return found


def reference_of(structures: Sequence[str]) -> str:
    """The structure whose centroid places are measured from."""
    return TARGET if TARGET in structures else structures[0]


def fraction_consistency(cohort: Cohort, evaluation: Evaluation, places: dict[str, Centroids]) -> pd.DataFrame:
    """A row for each patient with more than one scored fraction and each structure.

    Columns: ``patient``, ``structure``; ``fractions`` that were scored and ``missed`` of them; ``dsc_mean`` and
    ``dsc_sd`` (sample SD); ``truth_cm3_drift`` and ``prediction_cm3_drift`` in cm³ a fraction, ``truth_mm_drift`` and
    ``prediction_mm_drift``, the length of the centroid's drift in mm a fraction, and ``apart_mm_drift``, that of the
    difference of both drifts: each over the fractions in which both truth and prediction have the structure, NaN where
    that is only one.
    """
    fractions = {case.id: case.fraction for case in cohort.cases}
    scores: dict[tuple[str, str], list[Score]] = {}
    for score in evaluation.scores:
        if score.is_scored:
            scores.setdefault((score.patient, score.structure), []).append(score)
    rows = []
    for (patient, structure), of_patient in scores.items():
        if len({fractions[score.case] for score in of_patient}) < 2:
            continue
        dsc = np.array([score.dsc for score in of_patient])
        both = [score for score in of_patient if score.missing_in == "none"]
        placed = [score for score in both if score.case in places]
        row: dict[str, object] = {"patient": patient, "structure": structure, "fractions": len(of_patient)}
        row |= {"missed": sum(score.missing_in == "prediction" for score in of_patient)}
        row |= {"dsc_mean": dsc.mean(), "dsc_sd": dsc.std(ddof=1)}
        drifts = {}
        for side in ("truth", "prediction"):
            volumes = np.array([[getattr(score, f"{side}_cm3")] for score in both]).reshape(-1, 1)
            points = np.array([getattr(places[score.case], side)[structure] for score in placed]).reshape(-1, 3)
            drifts[side] = slope([fractions[score.case] for score in placed], points)
            row[f"{side}_cm3_drift"] = float(slope([fractions[score.case] for score in both], volumes)[0])
            row[f"{side}_mm_drift"] = float(np.linalg.norm(drifts[side]))
        row["apart_mm_drift"] = float(np.linalg.norm(drifts["prediction"] - drifts["truth"]))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(HEADS))


def slope(fractions: Sequence[int], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of values (n, d) at n fractions the slopes (d,) of least-squares lines; NaN where all are one fraction's."""
    off = np.asarray(fractions, float) - (np.mean(fractions) if fractions else 0.0)
    if not off.any():
        return np.full(values.shape[1], np.nan)
    slopes: npt.NDArray[np.float64] = off @ values / (off @ off)
    return slopes


def _centroids(segmentation: Segmentation) -> Points:
    centroids = {structure: segmentation.centroid_mm(structure) for structure in segmentation.structures}
    return {structure: point for structure, point in centroids.items() if point is not None}
