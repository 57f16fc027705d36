"""Study ID, case id and fraction of every scan in a source."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gynbtnet.datasets.cohort import SAFE_ID
from gynbtnet.datasets.ingestion.found_scans import FoundScan
from gynbtnet.datasets.patient_key import PatientKey

CASE_NAME = re.compile(r"(?P<patient>.+)_f(?P<fraction>\d{1,4})(-\d+)?")
"""Names that ingestion gives to cases."""


@dataclass(frozen=True)
class NumberedScan:
    """A scan with its id and fraction in the cohort."""

    id: str
    fraction: int
    scan: FoundScan


def number_scans(scans: Sequence[FoundScan], key: PatientKey) -> tuple[list[NumberedScan], PatientKey]:
    """Assign study IDs, case ids and fractions.

    Image files keep their names, and cases of a dataset their ids, unless the key is stored separately.

    Args:
        scans: scans with the patient identifiers of the source.
        key: study IDs that are assigned already.

    Returns:
        The scans under their study IDs, sorted by patient and time, and the key with the new patients.
    """
    is_replaced = [key.separate or scan.series_uid is not None for scan in scans]
    key = key.with_patients(scan.patient for scan, replaced in zip(scans, is_replaced, strict=True) if replaced)
    by_patient: dict[str, list[FoundScan]] = {}
    for scan, replaced in zip(scans, is_replaced, strict=True):
        patient = key.study_id(scan.patient) if replaced else scan.patient
        by_patient.setdefault(patient, []).append(replace(scan, patient=patient))
    numbered: list[NumberedScan] = []
    used: set[str] = set()
    for patient in sorted(by_patient):
        name = re.sub(r"[^A-Za-z0-9-]+", "-", patient).strip("-") or "patient"
        while name.lower() in used:  # other patients may differ only in characters that file names can't contain
            name += "-2"
        used.add(name.lower())
        numbered += _number_fractions(name, sorted(by_patient[patient], key=lambda scan: scan.time_order))
    if not key.separate and all(_is_file_name(scan.scan.case_id) for scan in numbered):
        numbered = [replace(scan, id=scan.scan.case_id or scan.id) for scan in numbered]
    return numbered, key


def _is_file_name(case_id: str | None) -> bool:
    return case_id is not None and SAFE_ID.fullmatch(case_id) is not None


def _number_fractions(name: str, scans: Sequence[FoundScan]) -> Iterator[NumberedScan]:
    """Yield the scans of a patient with their fractions.

    Use the given fraction numbers if every scan of the patient has one; otherwise number the scans by time. Two scans
    of the same fraction get different ids.
    """
    fractions = [scan.fraction for scan in scans if scan.fraction is not None]
    if len(fractions) < len(scans):
        fractions = list(range(1, len(scans) + 1))
    for i in sorted(range(len(scans)), key=lambda i: (fractions[i], i)):
        earlier = fractions[:i].count(fractions[i])
        ending = f"-{earlier + 1}" if earlier else ""
        yield NumberedScan(f"{name}_f{fractions[i]}{ending}", fractions[i], scans[i])
