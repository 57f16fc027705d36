"""Study ID, case id and fraction of every scan that was found."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gynbtnet.datasets.ingestion.found_scans import FoundScan
from gynbtnet.datasets.patient_key import PatientKey


@dataclass(frozen=True)
class NumberedScan:
    """A scan with the id and the fraction that it gets in the cohort."""

    id: str
    fraction: int
    scan: FoundScan


def number_scans(found: Sequence[FoundScan], key: PatientKey) -> list[NumberedScan]:
    """Scans under study IDs, with the id and fraction that they get in the cohort, by patient and then in time.

    Names of image files stay, unless the key is kept apart. The key learns new patients and is not written.
    """
    replaced = [scan for scan in found if key.apart or scan.series_uid is not None]
    key.add(scan.patient for scan in replaced)
    by_patient: dict[str, list[FoundScan]] = {}
    for scan in found:
        is_replaced = key.apart or scan.series_uid is not None
        patient = key.study_id(scan.patient) if is_replaced else scan.patient
        by_patient.setdefault(patient, []).append(replace(scan, patient=patient))
    numbered: list[NumberedScan] = []
    taken: set[str] = set()
    for patient in sorted(by_patient):
        safe = re.sub(r"[^A-Za-z0-9-]+", "-", patient).strip("-") or "patient"
        while safe.lower() in taken:  # other patients may differ in the letters that file names can't hold
            safe += "-2"
        taken.add(safe.lower())
        numbered += _of_patient(safe, sorted(by_patient[patient], key=lambda scan: scan.when))
    return numbered


def _of_patient(name: str, scans: Sequence[FoundScan]) -> Iterator[NumberedScan]:
    """Fractions as told where they are told of all of a patient's scans, else in time; two scans of one get two ids."""
    told = [scan.fraction for scan in scans]
    fractions = [number for number in told if number is not None]
    if len(fractions) < len(scans):
        fractions = list(range(1, len(scans) + 1))
    for i in sorted(range(len(scans)), key=lambda i: (fractions[i], i)):
        earlier = fractions[:i].count(fractions[i])
        ending = f"-{earlier + 1}" if earlier else ""
        yield NumberedScan(f"{name}_f{fractions[i]}{ending}", fractions[i], scans[i])
