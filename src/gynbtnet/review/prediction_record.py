"""The part of a ``prediction.json`` that a review needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gynbtnet.inference.engine.adaptation_record import AdaptationRecord
from gynbtnet.inference.manifest import MANIFEST, InputRecord, ModelRecord, ScanRecord
from gynbtnet.inference.quality.body_hu import BodyHU
from gynbtnet.inference.quality.failure_flags import Flag
from gynbtnet.inference.quality.predicted_dsc import PredictedDSC
from gynbtnet.runtime.json_files import read_json


@dataclass(frozen=True)
class PredictionRecord:
    """Record of a prediction; see :mod:`gynbtnet.inference.manifest` for the fields.

    Attributes:
        structures: structures of the labels 1, 2, ….
        synthetic: no real patient was scanned.
        model: model that made the prediction.
        input: scan that was predicted.
        settings: settings of the prediction.
        flags: possible failures in single structures.
        predicted_dsc: expected DSC by structure; None if it is unknown.
        agreement: by structure the mean Dice coefficient of the forward passes with their mean; None if it is unknown.
        scan: location of the scan; None in predictions of earlier versions.
        warnings: properties of the scan that may impair the prediction.
        body_hu: HU inside the body; None if unknown, as in predictions of earlier versions.
        adaptation: adaptation of the model to the patient; None if there was none.
    """

    structures: tuple[str, ...]
    synthetic: bool
    model: ModelRecord
    input: InputRecord
    settings: Mapping[str, Any]
    flags: tuple[Flag, ...]
    predicted_dsc: Mapping[str, PredictedDSC | None]
    scan: ScanRecord | None = None
    agreement: Mapping[str, float | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=())
    body_hu: BodyHU | None = None
    adaptation: AdaptationRecord | None = None


def read_prediction_record(folder: Path) -> PredictionRecord:
    """Read the record of the prediction in a folder.

    Raises:
        BadInput: If the folder has none, or it is damaged.
    """
    return read_json(PredictionRecord, folder / MANIFEST, "expected a folder that `gynbtnet predict` wrote")
