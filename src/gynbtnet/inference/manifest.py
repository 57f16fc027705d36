"""Manifest of a prediction, ``prediction.json``: input, model, settings and result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.files.mask_folder import mask_file
from gynbtnet.inference.engine.adaptation_record import AdaptationRecord
from gynbtnet.inference.prediction import Prediction
from gynbtnet.inference.quality.body_hu import BodyHU
from gynbtnet.inference.quality.failure_flags import Flag
from gynbtnet.inference.quality.predicted_dsc import PredictedDSC
from gynbtnet.runtime.plain_data import load_json
from gynbtnet.training.renamed_settings import with_current_names
from gynbtnet.training.training_data import TrainingData

MANIFEST = "prediction.json"
SCHEMA = 1
"""Version of the format. It rises when a field changes its name or meaning; new fields may be added at any time."""

NOTICE = "For research use only; made by software and not reviewed by a clinician."
SYNTHETIC = "SYNTHETIC: no real patient was scanned."


@dataclass(frozen=True)
class ModelRecord:
    """Model that made a prediction.

    Attributes:
        name: name of its folder or zip file.
        weights: name of the weights file.
        sha256: SHA-256 of the weights; for an ensemble, of all of them.
        files: SHA-256 of each weights file by its path in the model, one per fold.
        rules: SHA-256 of post-processing rules, reference volumes and calibration.
        trained_on: scans of its training; None if unknown.
    """

    name: str
    weights: str
    sha256: str
    files: Mapping[str, str]
    rules: str
    trained_on: TrainingData | None = None


@dataclass(frozen=True)
class InputRecord:
    """Scan that was predicted.

    Attributes:
        kind: "DICOM" or "image file".
        series_uid: SeriesInstanceUID; None for an image file.
        sha256: SHA-256 of the file. For several files, of their digests in the order of the slices, then the channels.
    """

    kind: str
    series_uid: str | None
    sha256: str


@dataclass(frozen=True)
class ScanRecord:
    """Location of the scan on the machine that predicted it, so that a review can open it again.

    Attributes:
        path: image file, or folder of the DICOM series.
        channels: image files of the channels after the first.
        repairs: flaws of the series that were repaired.
    """

    path: Path
    channels: tuple[Path, ...] = ()
    repairs: Repairs = field(default_factory=Repairs)


@dataclass(frozen=True)
class Provenance:
    """Everything that determines the content of the files: equal provenance, equal files.

    Attributes:
        synthetic: no real patient was scanned.
        model: model that made the prediction.
        input: scan that was predicted.
        settings: see :class:`~gynbtnet.inference.engine.settings.PredictionSettings`.
        versions: versions of GynBTNet and of the libraries that influence the labels.
        structures: structures of the labels 1, 2, ….
        adaptation: adaptation of the model to the patient; None if there was none.
    """

    synthetic: bool
    model: ModelRecord
    input: InputRecord
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    structures: tuple[str, ...]
    adaptation: AdaptationRecord | None = None


@dataclass(frozen=True)
class Seconds:
    """Durations in seconds of wall time: reading and checking, prediction, writing the files."""

    reading: float
    network: float
    export: float


def make_manifest(
    provenance: Provenance,
    prediction: Prediction,
    *,
    scan: ScanRecord,
    files: tuple[str, ...],
    device: str,
    seconds: Seconds,
    body_hu: BodyHU | None,
    failed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the content of ``prediction.json``, one flat table.

    Args:
        provenance: input, model and settings.
        prediction: result.
        scan: location of the scan.
        files: names of the files in the same folder.
        device: device that computed.
        seconds: durations.
        body_hu: HU inside the body; None if unknown.
        failed: reason by name of each file that could not be written.
    """
    return {
        "schema": SCHEMA,
        "notice": f"{SYNTHETIC} {NOTICE}" if provenance.synthetic else NOTICE,
        **_as_json(provenance, Provenance),
        "scan": _as_json(scan, ScanRecord),
        "files": list(files),
        "failed": dict(failed or {}),
        "geometry": prediction.segmentation.labels.geometry.to_json(),
        "device": device,
        "seconds": _as_json(seconds, Seconds),
        "body_hu": _as_json(body_hu, BodyHU | None),
        **_prediction_as_json(prediction),
    }


def _prediction_as_json(prediction: Prediction) -> dict[str, Any]:
    """Return the part of the manifest that is about the result."""
    agreement = {structure: prediction.known_agreement(structure) for structure in prediction.agreement}
    return {
        "notes": list(prediction.notes),
        "warnings": list(prediction.warnings),
        "flags": _as_json(prediction.flags, tuple[Flag, ...]),
        "volumes_cm3": {structure: round(volume, 3) for structure, volume in prediction.volumes_cm3.items()},
        "missing": list(prediction.missing),
        "agreement": {name: None if dice is None else round(dice, 4) for name, dice in agreement.items()},
        "predicted_dsc": _as_json(prediction.predicted_dsc, dict[str, PredictedDSC | None]),
        "review": {structure: prediction.needs_review(structure) for structure in prediction.structures},
    }


def is_up_to_date(out: Path, provenance: Provenance) -> bool:
    """Return whether a folder contains, complete, the files that this provenance leads to."""
    try:
        manifest = load_json(out / MANIFEST)
        expected = _as_json(provenance, Provenance)
        manifest = {"adaptation": None} | manifest  # absent in manifests of earlier versions
        manifest |= {"settings": with_current_names(manifest["settings"], "prediction")}
        same = manifest["schema"] == SCHEMA and all(manifest[key] == value for key, value in expected.items())
        return same and all(_is_complete(out / name, provenance.structures) for name in manifest["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # absent, damaged, or of another version
        return False


def _is_complete(path: Path, structures: Sequence[str]) -> bool:
    """Return whether a file exists, or a folder of masks with one for each structure."""
    return path.is_file() or (path.is_dir() and all(mask_file(path, name).is_file() for name in structures))


def failed_files(out: Path) -> Mapping[str, str]:
    """Return the reason by name of each file that could not be written with the prediction in a folder."""
    failed: dict[str, str] = load_json(out / MANIFEST).get("failed", {})
    return failed


def existing_input_sha256(out: Path) -> str | None:
    """Return the SHA-256 of the scan whose prediction is in a folder; None if there is none or it is damaged."""
    try:
        return str(load_json(out / MANIFEST)["input"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def existing_series_uid(out: Path) -> str | None:
    """Return the SeriesInstanceUID of the scan whose prediction is in a folder; None if it is unknown."""
    try:
        uid = load_json(out / MANIFEST)["input"]["series_uid"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(uid) if uid else None


def _as_json(value: Any, kind: Any) -> Any:
    """Return a value of a type as plain JSON values."""
    return TypeAdapter(kind).dump_python(value, mode="json")
