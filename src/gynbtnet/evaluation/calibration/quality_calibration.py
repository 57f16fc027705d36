"""What a cross-validation teaches about how good contours are: its out-of-fold predictions, measured and scored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.metrics.evaluate import find_prediction, read_prediction, read_truth
from gynbtnet.evaluation.metrics.metrics import dice
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
    """One structure that was drawn on one case, by a model that hasn't seen the patient.

    Attributes:
        patient: whose case.
        figures: counted on it, after post-processing.
        agreement: of the single passes; NaN where it isn't known.
        learned: volumes of those whom the model learned from; None where too few have the structure.
        dsc: against the truth; 0 where the truth has none.
    """

    patient: str
    figures: StructureFeatures
    agreement: float
    learned: StructureVolume | None
    dsc: float


def calibrate_quality(
    cohort: Cohort, split: Split, predictions: Path, rules: Sequence[PostprocessingRule], *, passes: str
) -> Quality:
    """Calibrate the DSC to expect on the predictions of every fold's validation patients.

    Args:
        cohort: scans and contours.
        split: its folds say which model drew whom.
        predictions: ``<case id>/labels.nii.gz``, and ``prediction.json`` with the agreement of the passes.
        rules: the post-processing that is going to be applied.
        passes: of each of the models, see :func:`gynbtnet.inference.engine.mirroring.tta_signature`.

    Raises:
        BadInput: where a prediction is absent or damaged.
    """
    measured = measure_structures(cohort, split, predictions, rules)
    seen = cohort.of_patients(patient for fold in split.folds for patient in fold)
    volumes = {volume.structure: volume for volume in structure_volumes(seen)}
    return Quality(passes, tuple(_calibrated(name, measured[name], volumes.get(name)) for name in cohort.structures))


def measure_structures(
    cohort: Cohort, split: Split, predictions: Path, rules: Sequence[PostprocessingRule]
) -> dict[str, list[MeasuredStructure]]:
    """Of each structure the cases on which it was drawn and can be scored."""
    found: dict[str, list[MeasuredStructure]] = {name: [] for name in cohort.structures}
    for number in track(range(len(split.folds)), "Calibrating"):
        learned = structure_volumes(cohort.of_patients(split.training_patients(number)))
        volumes = {volume.structure: volume for volume in learned}
        for case in cohort.of_patients(split.validation_patients(number)).cases:
            truth = read_truth(case, cohort.structures)
            mended = postprocess(read_prediction(case, predictions, cohort.structures), rules)
            agreement = _agreement(find_prediction(case, predictions).with_name("prediction.json"))
            for figures in structure_features(mended):
                name = figures.structure
                if figures.volume_cm3 == 0 or name not in found or name in case.missing:
                    continue
                dsc = dice(truth.mask(name), mended.mask(name))
                agreed = agreement.get(name, math.nan)
                found[name].append(MeasuredStructure(case.patient, figures, agreed, volumes.get(name), dsc))
    return found


def _calibrated(name: str, cases: Sequence[MeasuredStructure], volume: StructureVolume | None) -> StructureQuality:
    patients = [case.patient for case in cases]
    shape = np.array([shape_features(case.figures, case.learned) for case in cases]).reshape(len(cases), 3)
    dsc = np.array([case.dsc for case in cases])
    from_agreement = None
    if cases and not any(math.isnan(case.agreement) for case in cases):
        agreed: FloatArray = np.array([[agreement_feature(case.agreement)] for case in cases])
        from_agreement = calibrate(patients, np.hstack([agreed, shape]), dsc)
    return StructureQuality(name, len(set(patients)), volume, calibrate(patients, shape, dsc), from_agreement)


@dataclass(frozen=True)
class _Manifest:
    """What calibration needs of a ``prediction.json``."""

    agreement: dict[str, float | None] | None = None


def _agreement(manifest: Path) -> dict[str, float]:
    """Of each structure the agreement that was noted; nothing where there is no manifest."""
    if not manifest.is_file():
        return {}
    noted = read_json(_Manifest, manifest, "predict this scan again with `gynbtnet predict`").agreement or {}
    return {name: math.nan if value is None else value for name, value in noted.items()}
