"""Consistency of a patient's contours over the fractions: spread of DSC, drift of volume and position.

Volume and position drift by themselves from fraction to fraction. The drift of the prediction should equal that of the
truth. A drift is the slope of a least-squares line over the fraction numbers.

Fractions share no frame of reference. A position is therefore a centroid relative to that of a reference structure in
the truth of the same fraction. The reference is HR-CTV, which the applicator holds, or the first structure of a cohort
without HR-CTV.
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
COLUMN_TITLES = {
    "patient": "patient",
    "structure": "structure",
    "fractions": "fractions",
    "missed": "missed",
    "dsc_mean": "DSC, mean",
    "dsc_sd": "DSC, SD",
    "truth_cm3_drift": "volume drift, reference (cm³ per fraction)",
    "prediction_cm3_drift": "volume drift, prediction (cm³ per fraction)",
    "truth_mm_drift": "centroid drift, reference (mm per fraction)",
    "prediction_mm_drift": "centroid drift, prediction (mm per fraction)",
    "apart_mm_drift": "centroid drift, prediction from reference (mm per fraction)",
}
"""Columns of :func:`fraction_consistency` and their headings."""

Points = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Centroids:
    """Positions of the structures of a case.

    Attributes:
        truth: centroid of each structure of the truth relative to that of the reference, (x, y, z) in mm, by structure;
            absent structures are left out.
        prediction: the same for the prediction, relative to the same point.
    """

    truth: Points
    prediction: Points


def centroids(cohort: Cohort, predictions: Path) -> dict[str, Centroids]:
    """Compute the centroids of all cases whose truth has the reference structure; every label map is read.

    Args:
        cohort: the cases.
        predictions: folder of the predictions, ``<case id>/labels.nii.gz``.

    Returns:
        The centroids by case id.

    Raises:
        BadInput: If a prediction is absent or damaged, see :func:`gynbtnet.evaluation.metrics.evaluation.evaluate`.
    """
    by_case = {}
    for case in track(cohort.cases, "Find centroids"):
        truth = _centroids(read_truth(case, cohort.structures))
        reference = truth.get(reference_structure(cohort.structures))
        if reference is not None:
            prediction = _centroids(read_prediction(case, predictions, cohort.structures))
            by_case[case.id] = Centroids(
                *({name: point - reference for name, point in points.items()} for points in (truth, prediction))
            )
    return by_case


def reference_structure(structures: Sequence[str]) -> str:
    """Return the structure to whose centroid positions are relative."""
    return TARGET if TARGET in structures else structures[0]


def fraction_consistency(cohort: Cohort, evaluation: Evaluation, positions: dict[str, Centroids]) -> pd.DataFrame:
    """Return spread and drift for each patient with more than one scored fraction and each structure.

    Args:
        cohort: the cases.
        evaluation: their scores.
        positions: see :func:`centroids`.

    Returns:
        One row per patient and structure, with the columns ``patient`` and ``structure``. ``fractions`` is the number
        of scored fractions, ``missed`` the number of those in which the structure was missed. ``dsc_mean`` and
        ``dsc_sd`` are mean and sample SD. ``truth_cm3_drift`` and ``prediction_cm3_drift`` are in cm³ per fraction.
        ``truth_mm_drift`` and ``prediction_mm_drift`` are lengths of the drift of the centroid in mm per fraction, and
        ``apart_mm_drift`` is the length of their difference. Drifts use the fractions in which both truth and
        prediction have the structure; with only one such fraction they are NaN.
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
        located = [score for score in both if score.case in positions]
        row: dict[str, object] = {"patient": patient, "structure": structure, "fractions": len(of_patient)}
        row |= {"missed": sum(score.missing_in == "prediction" for score in of_patient)}
        row |= {"dsc_mean": dsc.mean(), "dsc_sd": dsc.std(ddof=1)}
        drifts = {}
        for side in ("truth", "prediction"):
            volumes = np.array([[getattr(score, f"{side}_cm3")] for score in both]).reshape(-1, 1)
            points = np.array([getattr(positions[score.case], side)[structure] for score in located]).reshape(-1, 3)
            drifts[side] = slope([fractions[score.case] for score in located], points)
            row[f"{side}_cm3_drift"] = float(slope([fractions[score.case] for score in both], volumes)[0])
            row[f"{side}_mm_drift"] = float(np.linalg.norm(drifts[side]))
        row["apart_mm_drift"] = float(np.linalg.norm(drifts["prediction"] - drifts["truth"]))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMN_TITLES))


def slope(fractions: Sequence[int], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the slopes of least-squares lines.

    Args:
        fractions: n fraction numbers.
        values: (n, d) values at these fractions.

    Returns:
        (d,) slopes; NaN if all fractions are equal.
    """
    offsets = np.asarray(fractions, float) - (np.mean(fractions) if fractions else 0.0)
    if not offsets.any():
        return np.full(values.shape[1], np.nan)
    slopes: npt.NDArray[np.float64] = offsets @ values / (offsets @ offsets)
    return slopes


def _centroids(segmentation: Segmentation) -> Points:
    points = {structure: segmentation.centroid_mm(structure) for structure in segmentation.structures}
    return {structure: point for structure, point in points.items() if point is not None}
