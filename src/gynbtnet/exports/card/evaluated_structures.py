"""Scores of a model as its card states them: one row per structure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.evaluation.metrics.evaluated_weights import EvaluatedWeights
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.statistics.patient_bootstrap import FEWEST_PATIENTS
from gynbtnet.evaluation.statistics.patient_jackknife import patient_mean
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class EvaluatedStructure:
    """Scores of one structure.

    Attributes:
        structure: identifier of the structure.
        patients: number of patients with a score.
        scans: number of scans with a score.
        dsc: mean DSC over scans.
        dsc_interval: its 95 % interval between patients, within 0 and 1; NaN for fewer than
            :data:`~gynbtnet.evaluation.statistics.patient_bootstrap.FEWEST_PATIENTS` patients, or if all are equal.
        surface_dsc: mean surface DSC over scans.
        hd95_mm: median HD95 over scans, mm.
        missed: scans in which it was not found.
    """

    structure: str
    patients: int
    scans: int
    dsc: float
    dsc_interval: tuple[float, float]
    surface_dsc: float
    hd95_mm: float
    missed: int


@dataclass(frozen=True)
class ModelEvaluation:
    """Evaluation of a model.

    Attributes:
        is_cross_validation: each scan was predicted by the fold that was not trained on its patient.
        is_of_weights: True if these weights made the evaluated predictions; False if the evaluation doesn't record it.
        patients: number of patients.
        scans: number of scans.
        tolerance_mm: tolerance of the surface DSC; None if it differs between structures.
        structures: scores by structure.
    """

    is_cross_validation: bool
    is_of_weights: bool
    patients: int
    scans: int
    tolerance_mm: float | None
    structures: tuple[EvaluatedStructure, ...]


def read_model_evaluation(
    folder: Path, structures: Sequence[str], digests: Collection[str], *, is_cross_validation: bool = False
) -> ModelEvaluation:
    """Read an evaluation of a model.

    Args:
        folder: folder that ``gynbtnet evaluate`` or a cross-validation wrote.
        structures: structures of the model.
        digests: SHA-256 of each of its weights files.
        is_cross_validation: whether a cross-validation wrote it.

    Raises:
        BadInput: If there is no evaluation, or it has no score of these structures, or is of other weights.
    """
    evaluation = Evaluation.load(folder)
    scored = [score for score in evaluation.scores if not np.isnan(score.dsc) and score.structure in structures]
    if not scored:
        raise BadInput(f"{folder} has no score of {', '.join(structures)}; give the evaluation of this model.")
    weights = EvaluatedWeights.load(folder)
    if weights is not None and not set(weights.sha256) <= set(digests):
        raise BadInput(
            f"{folder} is the evaluation of other weights than the exported ones; give the evaluation of this model."
        )
    tolerances = set(evaluation.settings.tolerances_mm.values()) | {evaluation.settings.tolerance_mm}
    return ModelEvaluation(
        is_cross_validation,
        weights is not None,
        len({score.patient for score in scored}),
        len({score.case for score in scored}),
        tolerances.pop() if len(tolerances) == 1 else None,
        tuple(
            _evaluated(name, [score for score in scored if score.structure == name])
            for name in structures
            if any(score.structure == name for score in scored)
        ),
    )


def _evaluated(structure: str, scores: Sequence[Score]) -> EvaluatedStructure:
    estimate = patient_mean(np.array([[score.dsc] for score in scores]), [score.patient for score in scores])
    ends = np.clip(np.concatenate(estimate.interval()), 0.0, 1.0)  # unlike min and max, it keeps NaN
    low, high = ends.tolist() if estimate.n_patients >= FEWEST_PATIENTS else (np.nan, np.nan)
    return EvaluatedStructure(
        structure,
        estimate.n_patients,
        len(scores),
        float(estimate.value[0]),
        (low, high),
        float(np.mean([score.surface_dsc for score in scores])),
        float(np.median([score.hd95_mm for score in scores])),
        sum(score.missing_in == "prediction" for score in scores),
    )
