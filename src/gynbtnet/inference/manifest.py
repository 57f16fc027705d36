"""``prediction.json``: what was contoured by which model, and what to know of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gynbtnet.inference.quality.failure_flags import Flag
from gynbtnet.inference.quality.predicted_dsc import PredictedDSC
from gynbtnet.runtime.plain_data import load_json

MANIFEST = "prediction.json"
SCHEMA = 1
"""Raised when a field changes its name or its meaning; new fields may come at any time."""

NOTICE = "For research use only; made by software and not reviewed by a clinician."
SYNTHETIC = "SYNTHETIC: no real patient was scanned."


@dataclass(frozen=True)
class ModelRecord:
    """Which model contoured.

    Attributes:
        name: of its folder or zip.
        weights: what its weights are called.
        sha256: of these; of an ensemble, of all together.
        files: SHA-256 of each weights' file, by its place in the model: one a fold.
        rules: SHA-256 of what contours are mended, flagged and judged by.
    """

    name: str
    weights: str
    sha256: str
    files: Mapping[str, str]
    rules: str


@dataclass(frozen=True)
class InputRecord:
    """Which scan.

    Attributes:
        kind: "DICOM" or "image file".
        series_uid: the SeriesInstanceUID; None of an image file.
        sha256: of the file; of several, over their digests in the order of the slices, then of the channels.
    """

    kind: str
    series_uid: str | None
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """All that decides what the files hold: made from the same again, they are the same.

    Attributes:
        synthetic: whether no real patient was scanned.
        settings: see :class:`~gynbtnet.inference.engine.settings.PredictionSettings`.
        versions: of GynBTNet and the libraries that decide on voxels.
        structures: what labels 1, 2, … mean.
    """

    synthetic: bool
    model: ModelRecord
    input: InputRecord
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    structures: tuple[str, ...]


@dataclass(frozen=True)
class Seconds:
    """How long it took, in seconds of wall time: to read and check the scan, to contour it, to write the files."""

    reading: float
    network: float
    export: float


@dataclass(frozen=True)
class PredictionSummary:
    """What there is to know of the contours.

    Attributes:
        notes: what was chosen, dropped or mended in reading the scan, a sentence each.
        warnings: what in the scan may spoil its contours, a sentence each.
        flags: what is likely to be wrong with single structures.
        volumes_cm3: of each structure.
        missing: structures of which nothing was found.
        agreement: of each structure the mean Dice coefficient of the single passes with their mean; None where there
            was one pass, or nothing.
        predicted_dsc: of each structure the DSC to expect; None where nothing was drawn or quality isn't calibrated.
        review: of each structure whether its DSC may be below the settings' limit; None where that isn't known.
    """

    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    flags: tuple[Flag, ...]
    volumes_cm3: Mapping[str, float]
    missing: tuple[str, ...]
    agreement: Mapping[str, float | None]
    predicted_dsc: Mapping[str, PredictedDSC | None]
    review: Mapping[str, bool | None]


def make_manifest(
    made_from: Provenance,
    told: PredictionSummary,
    *,
    files: tuple[str, ...],
    geometry: Any,
    device: str,
    seconds: Seconds,
    failed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The content of ``prediction.json``, flat.

    Args:
        made_from: what it was made from.
        told: what is known of the contours.
        files: names of those beside it.
        geometry: of the scan, as :meth:`~gynbtnet.imaging.geometry.Geometry.to_json` has it.
        device: that computed.
        seconds: that it took.
        failed: names of files that could not be written, each with the reason.
    """
    return {
        "schema": SCHEMA,
        "notice": f"{SYNTHETIC} {NOTICE}" if made_from.synthetic else NOTICE,
        **as_json(made_from),
        "files": list(files),
        "failed": dict(failed or {}),
        "geometry": geometry,
        "device": device,
        "seconds": as_json(seconds),
        **as_json(told),
    }


def as_json(value: Any) -> dict[str, Any]:
    """A dataclass as JSON has it."""
    found: dict[str, Any] = TypeAdapter(type(value)).dump_python(value, mode="json")
    return found


def is_up_to_date(out: Path, made_from: Provenance) -> bool:
    """Whether ``out`` holds, whole, what would be made from the same again."""
    try:
        found = load_json(out / MANIFEST)
        same = found["schema"] == SCHEMA and all(found[key] == value for key, value in as_json(made_from).items())
        return same and all((out / name).is_file() for name in found["files"])
    except (OSError, ValueError, KeyError, TypeError):  # absent, damaged or of another version: made anew
        return False


def failed_files(out: Path) -> Mapping[str, str]:
    """Names of the files that couldn't be written when the prediction in ``out`` was made, each with the reason."""
    found: dict[str, str] = load_json(out / MANIFEST).get("failed", {})
    return found


def existing_input_sha256(out: Path) -> str | None:
    """The SHA-256 of the scan whose prediction stands in ``out``; None where there is none, or a damaged one."""
    try:
        return str(load_json(out / MANIFEST)["input"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
