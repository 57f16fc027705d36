"""Calibration of the predicted DSC on the out-of-fold predictions of a cross-validation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.metrics.evaluation import prediction_folder, read_prediction, read_truth
from gynbtnet.evaluation.metrics.metrics import dice
from gynbtnet.imaging.nesting import Nesting
from gynbtnet.inference.quality.dsc_regression import calibrate
from gynbtnet.inference.quality.postprocessing import postprocess
from gynbtnet.inference.quality.predicted_dsc import Quality, StructureQuality, agreement_feature, shape_features
from gynbtnet.inference.quality.structure_features import StructureFeatures, structure_features
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
from gynbtnet.preparation.planning.structure_volumes import StructureVolume, structure_volumes
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.json_files import read_json
from gynbtnet.runtime.progress import track


@dataclass(frozen=True)
class MeasuredStructure:
    """A structure that was predicted in one case by a model that was not trained on the patient.

    Attributes:
        patient: study ID of the patient.
        features: shape features after post-processing.
        agreement: agreement of the single forward passes; NaN if unknown.
        training_volume: volumes in the training patients; None if too few have the structure.
        dsc: DSC against the truth; 0 if the truth does not have the structure.
    """

    patient: str
    features: StructureFeatures
    agreement: float
    training_volume: StructureVolume | None
    dsc: float


def calibrate_quality(
    cohort: Cohort,
    split: Split,
    predictions: Path,
    rules: Sequence[PostprocessingRule],
    nesting: Nesting,
    *,
    tta_signature: str,
) -> Quality:
    """Calibrate the predicted DSC on the predictions of every fold's validation patients.

    Args:
        cohort: scans and contours.
        split: folds of the cross-validation.
        predictions: folder with ``<case id>/labels.nii.gz``, and ``prediction.json`` with the agreement of the forward
            passes.
        rules: post-processing that is going to be applied.
        nesting: inner and outer structures of the plan, which post-processing keeps.
        tta_signature: signature of the forward passes of each model, see
            :func:`gynbtnet.inference.engine.mirroring.tta_signature`.

    Returns:
        Calibrated regressions of all structures.

    Raises:
        BadInput: If a prediction is missing or damaged.
    """
    measured = measure_structures(cohort, split, predictions, rules, nesting)
    seen = cohort.of_patients(patient for fold in split.folds for patient in fold)
    volumes = {volume.structure: volume for volume in structure_volumes(seen)}
    return Quality(
        tta_signature, tuple(_calibrated(name, measured[name], volumes.get(name)) for name in cohort.structures)
    )


def measure_structures(
    cohort: Cohort, split: Split, predictions: Path, rules: Sequence[PostprocessingRule], nesting: Nesting
) -> dict[str, list[MeasuredStructure]]:
    """Return, for each structure, the cases in which it was predicted and can be scored."""
    by_structure: dict[str, list[MeasuredStructure]] = {name: [] for name in cohort.structures}
    for number in track(range(len(split.folds)), "Calibrating"):
        training_volumes = structure_volumes(cohort.of_patients(split.training_patients(number)))
        volumes = {volume.structure: volume for volume in training_volumes}
        for case in cohort.of_patients(split.validation_patients(number)).cases:
            truth = read_truth(case, cohort.structures)
            prediction = postprocess(read_prediction(case, predictions, cohort.structures), rules, nesting)
            agreement = _read_agreement(prediction_folder(case, predictions) / "prediction.json")
            for features in structure_features(prediction):
                name = features.structure
                if features.volume_cm3 == 0 or name not in by_structure or name in case.missing:
                    continue
                dsc = dice(truth.mask(name), prediction.mask(name))
                measured = MeasuredStructure(
                    case.patient, features, agreement.get(name, math.nan), volumes.get(name), dsc
                )
                by_structure[name].append(measured)
    return by_structure


def _calibrated(name: str, cases: Sequence[MeasuredStructure], volume: StructureVolume | None) -> StructureQuality:
    patients = [case.patient for case in cases]
    shape = np.array([shape_features(case.features, case.training_volume) for case in cases]).reshape(len(cases), 3)
    dsc = np.array([case.dsc for case in cases])
    from_agreement = None
    if cases and not any(math.isnan(case.agreement) for case in cases):
        agreements: FloatArray = np.array([[agreement_feature(case.agreement)] for case in cases])
        from_agreement = calibrate(patients, np.hstack([agreements, shape]), dsc)
    return StructureQuality(name, len(set(patients)), volume, calibrate(patients, shape, dsc), from_agreement)


@dataclass(frozen=True)
class _Manifest:
    """The part of a ``prediction.json`` that calibration needs."""

    agreement: dict[str, float | None] | None = None


def _read_agreement(manifest: Path) -> dict[str, float]:
    """Return the recorded agreement of each structure; empty if there is no manifest."""
    if not manifest.is_file():
        return {}
    recorded = read_json(_Manifest, manifest, "predict this scan again with `gynbtnet predict`").agreement or {}
    return {name: math.nan if value is None else value for name, value in recorded.items()}
