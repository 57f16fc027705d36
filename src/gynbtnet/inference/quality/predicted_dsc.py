"""Predicted DSC of each structure with its interval, calibrated by a cross-validation."""

import math
from dataclasses import dataclass
from pathlib import Path

from scipy.special import logit

from gynbtnet.inference.quality.dsc_regression import CalibratedDSC
from gynbtnet.inference.quality.structure_features import StructureFeatures
from gynbtnet.preparation.planning.structure_volumes import StructureVolume
from gynbtnet.runtime.json_files import read_json, write_json

QUALITY_FILE = "quality.json"
"""Name of the calibration of predicted DSC in the folder of a model."""
_MOST_UNUSUAL = 5.0  # standard deviations; a larger value would let one patient determine the slope
_CLIPPED = 0.01


@dataclass(frozen=True)
class PredictedDSC:
    """Predicted DSC of one structure in one scan.

    Attributes:
        structure: identifier of the structure.
        dsc: expected DSC.
        low, high: ends of its interval, see :mod:`gynbtnet.inference.quality.dsc_regression`.
    """

    structure: str
    dsc: float
    low: float
    high: float


@dataclass(frozen=True)
class StructureQuality:
    """Calibration of one structure.

    Attributes:
        structure: identifier of the structure.
        patients: number of patients with a prediction and a score.
        volume: volumes in the training, the reference for a predicted volume; None if too few patients have the
            structure.
        from_shape: regression on volume, components and edges; None if there were too few patients.
        from_agreement: regression on these and the agreement of the forward passes; None also if there was one pass.
    """

    structure: str
    patients: int
    volume: StructureVolume | None
    from_shape: CalibratedDSC | None
    from_agreement: CalibratedDSC | None


@dataclass(frozen=True)
class Quality:
    """Calibration by a cross-validation, stored as ``quality.json`` in the folder of its plan.

    Attributes:
        passes: forward passes of the calibrated models, see
            :func:`gynbtnet.inference.engine.mirroring.tta_signature`. The agreement is used only if a prediction
            averages the same passes, because it depends on them.
        structures: calibration of each structure, in the plan's order.
    """

    passes: str
    structures: tuple[StructureQuality, ...]

    def predict(self, features: StructureFeatures, agreement: float, tta_signature: str) -> PredictedDSC | None:
        """Return the predicted DSC of a structure; None if it is empty or not calibrated.

        Args:
            features: features of the predicted structure.
            agreement: mean Dice coefficient of the forward passes with their mean; NaN if unknown.
            tta_signature: forward passes that were averaged.
        """
        structure = features.structure
        calibration = next((entry for entry in self.structures if entry.structure == structure), None)
        if calibration is None or features.volume_cm3 == 0:
            return None
        shape = shape_features(features, calibration.volume)
        if calibration.from_agreement and tta_signature == self.passes and not math.isnan(agreement):
            return PredictedDSC(structure, *calibration.from_agreement.at((agreement_feature(agreement), *shape)))
        return PredictedDSC(structure, *calibration.from_shape.at(shape)) if calibration.from_shape else None

    def save(self, folder: Path) -> None:
        """Write ``quality.json`` into a folder, atomically."""
        write_json(self, Path(folder) / QUALITY_FILE)

    @classmethod
    def load(cls, folder: Path) -> "Quality | None":
        """Read ``quality.json`` from a model's folder; None if there is none.

        Raises:
            BadInput: If the file is damaged.
        """
        path = Path(folder) / QUALITY_FILE
        remedy = "call `gynbtnet finetune --every-fold` again, or delete it to predict without it"
        return read_json(cls, path, remedy) if path.is_file() else None


def agreement_feature(agreement: float) -> float:
    """Return the negative logit of the agreement; larger looks worse."""
    return -float(logit(min(max(agreement, _CLIPPED), 1 - _CLIPPED)))


def shape_features(features: StructureFeatures, volume: StructureVolume | None) -> tuple[float, float, float]:
    """Return three features of the shape; a larger value looks worse.

    The first is the distance of the volume from the mean of the training, in standard deviations (at most 5). The
    second is the share of voxels outside the largest component. The third is 1 if the structure reaches the scan's
    edge, otherwise 0.
    """
    deviation = min(abs(volume.score(features.volume_cm3)), _MOST_UNUSUAL) if volume else 0.0
    return deviation, 1 - features.largest_share, float(bool(features.edges))
