"""Record of a kit, ``commission.json``: what was commissioned, against which limits, with which results."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.commissioning.import_form import ImportRow
from gynbtnet.commissioning.limit_history import SeenLimits
from gynbtnet.commissioning.measured_values import LimitResult
from gynbtnet.commissioning.planted_failures import PlantedFailure
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json

RECORD, PAGE = "commission.json", "commission.html"
SCHEMA = 2
"""Version of the format; it rises when a field changes its name or meaning."""


@dataclass(frozen=True)
class CommissionedModel:
    """The model and the software of a kit.

    Attributes:
        name: name of its folder or zip file.
        sha256: SHA-256 of the weights.
        files: SHA-256 of each weights file.
        rules: SHA-256 of post-processing rules, reference volumes and calibration.
        structures: structures that it segments.
        trained_on: scans of its training, a sentence; empty if unknown.
        settings: SHA-256 of the prediction settings.
        versions: versions of GynBTNet and of the libraries that influence the contours.
        device: device that computed.
    """

    name: str
    sha256: str
    files: Mapping[str, str]
    rules: str
    structures: tuple[str, ...]
    trained_on: str
    settings: str
    versions: Mapping[str, str]
    device: str


@dataclass(frozen=True)
class LocalCases:
    """The local cases of a kit.

    Attributes:
        cohort: name of the cohort.
        sha256: digest of the ids, voxels and contours of all cases.
        cases: number of cases.
        patients: number of patients.
        applicators: number of cases by applicator; "not known" for the others.
        spacings: number of cases by spacing (z, y, x), in mm.
        synthetic: whether no real patient was scanned.
        training: result of the comparison with the training, a sentence.
        training_checked: whether all scans of the training could be compared.
        refused: reason by id of each case without contours.
        missed: number of cases by structure in which it was missed.
        false: number of cases by structure in which it was predicted and is not in the reference.
    """

    cohort: str
    sha256: str
    cases: int
    patients: int
    applicators: Mapping[str, int]
    spacings: Mapping[str, int]
    synthetic: bool
    training: str
    training_checked: bool
    refused: Mapping[str, str]
    missed: Mapping[str, int]
    false: Mapping[str, int]


@dataclass(frozen=True)
class Look:
    """One time at which results were computed; each look at results is a chance to stop at a good one.

    Attributes:
        time: ISO 8601 with time zone.
        limits: SHA-256 of the limits.
        cases: number of local cases.
        patients: number of local patients.
        verdicts: number of limits by verdict.
    """

    time: str
    limits: str
    cases: int
    patients: int
    verdicts: Mapping[str, int]


@dataclass(frozen=True)
class ImportCheck:
    """Import into the planning system.

    Attributes:
        planning_system: name and version, as typed.
        read_by: person, as typed.
        read_on: date, as typed.
        remarks: as typed.
        rows: comparisons.
    """

    planning_system: str
    read_by: str
    read_on: str
    remarks: str
    rows: tuple[ImportRow, ...]


@dataclass(frozen=True)
class Results:
    """Everything that is computed from the local cases and the planted failures."""

    local: LocalCases
    limits: tuple[LimitResult, ...]
    planted: tuple[PlantedFailure, ...]
    import_check: ImportCheck


@dataclass(frozen=True)
class CommissioningRecord:
    """Content of ``commission.json``.

    Attributes:
        schema: version of the format.
        model: model and software.
        intended_use: as typed.
        history: versions of the limits, oldest first; the last one is valid.
        looks: times at which results were computed, oldest first.
        results: the last results; None until there are some.
    """

    schema: int
    model: CommissionedModel
    intended_use: str
    history: tuple[SeenLimits, ...]
    looks: tuple[Look, ...] = ()
    results: Results | None = None

    def save(self, kit: Path) -> None:
        """Write the record into a kit, atomically."""
        write_json(self, kit / RECORD)

    @classmethod
    def load(cls, kit: Path) -> "CommissioningRecord | None":
        """Read the record of a kit; None if there is none.

        Raises:
            BadInput: If it is damaged or of another version.
        """
        path = kit / RECORD
        remedy = "restore it from a copy, since it records when limits were set"
        if not path.is_file():
            return None
        record = read_json(cls, path, remedy)
        if record.schema != SCHEMA:
            raise BadInput(f"{path} has schema {record.schema}, expected {SCHEMA}; give a new folder for the kit.")
        return record
