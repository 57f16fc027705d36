"""Study ID, case id and fraction of every scan in a source."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.cohort import SAFE_ID
from gynbtnet.datasets.ingestion.found_scans import FoundScan
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.imaging.files.volume_files import without_suffix

_NAMED_BY_FILE = (
    "Files of this name in several folders count as scans of one patient. If each folder is a patient, ingest with "
    "--patient-id-from folder."
)

CASE_NAME = re.compile(r"(?P<patient>.+)_f(?P<fraction>\d{1,4})(-\d+)?")
"""Names that ingestion gives to cases."""


@dataclass(frozen=True)
class NumberedScan:
    """A scan with its id and fraction in the cohort.

    Attributes:
        id: id of its case.
        fraction: number of the fraction.
        scan: the scan.
        notes: facts about its patient and fraction for readers of results.
    """

    id: str
    fraction: int
    scan: FoundScan
    notes: tuple[str, ...] = ()


def number_scans(scans: Sequence[FoundScan], key: PatientKey) -> tuple[list[NumberedScan], PatientKey]:
    """Assign study IDs, case ids and fractions.

    Image files keep their names, and cases of a dataset their ids, unless the key is stored separately.

    Args:
        scans: scans with the patient identifiers of the source.
        key: study IDs that are assigned already.

    Returns:
        The scans under their study IDs, sorted by patient and time, and the key with the new patients.
    """
    is_replaced = [needs_study_id(scan, key) for scan in scans]
    key = key.with_patients(scan.patient for scan, replaced in zip(scans, is_replaced, strict=True) if replaced)
    by_patient: dict[str, list[FoundScan]] = {}
    folders: dict[str, set[Path]] = {}  # of image files that name their patient
    for scan, replaced in zip(scans, is_replaced, strict=True):
        patient = key.study_id(scan.patient) if replaced else scan.patient
        by_patient.setdefault(patient, []).append(replace(scan, patient=patient))
        if _is_named_by_file(scan):
            folders.setdefault(patient, set()).add(scan.folder)
    numbered: list[NumberedScan] = []
    used: set[str] = set()
    for patient in sorted(by_patient):
        name = re.sub(r"[^A-Za-z0-9-]+", "-", patient).strip("-") or "patient"
        while name.lower() in used:  # other patients may differ only in characters that file names can't contain
            name += "-2"
        used.add(name.lower())
        notes = [_NAMED_BY_FILE] if len(folders.get(patient, ())) > 1 else []
        numbered += _number_fractions(name, sorted(by_patient[patient], key=lambda scan: scan.time_order), notes)
    if not key.separate and all(_is_file_name(scan.scan.case_id) for scan in numbered):
        numbered = [replace(scan, id=scan.scan.case_id or scan.id) for scan in numbered]
    return numbered, key


def needs_study_id(scan: FoundScan, key: PatientKey) -> bool:
    """Check if the patient of a scan is to be replaced by a study ID of the key.

    Args:
        scan: the scan.
        key: study IDs that are assigned already.
    """
    is_assigned = scan.has_study_id and scan.patient in key.study_ids.values()
    return (key.separate or scan.series_uid is not None) and not is_assigned


def _is_file_name(case_id: str | None) -> bool:
    return case_id is not None and SAFE_ID.fullmatch(case_id) is not None


def _number_fractions(name: str, scans: Sequence[FoundScan], notes: Sequence[str]) -> Iterator[NumberedScan]:
    """Yield the scans of a patient with their fractions.

    Use the given fraction numbers if every scan of the patient has one; otherwise number the scans by time. Two scans
    of the same fraction get different ids.
    """
    fractions = [scan.fraction for scan in scans if scan.fraction is not None]
    if len(fractions) < len(scans):
        if fractions:
            ignored = (
                f"Fractions of this patient are numbered by time: only {len(fractions)} of {len(scans)} scans have a "
                "number, so these numbers are not used."
            )
            notes = (*notes, ignored)
        fractions = list(range(1, len(scans) + 1))
    for i in sorted(range(len(scans)), key=lambda i: (fractions[i], i)):
        earlier = fractions[:i].count(fractions[i])
        ending = f"-{earlier + 1}" if earlier else ""
        yield NumberedScan(f"{name}_f{fractions[i]}{ending}", fractions[i], scans[i], tuple(notes))


def _is_named_by_file(scan: FoundScan) -> bool:
    """Return True if the patient of a scan is the name of its image file."""
    stem = without_suffix(scan.files[0].name)
    return scan.series_uid is None and not scan.has_study_id and scan.patient in (stem, stem.removesuffix("_0000"))
