"""Names of predictions, by the same rule as the ids of cases: patient and fraction, or the name of the image file.

A DICOM scan is called by the study ID of its patient and its fraction, ``patient-001_f1``. Neither its folder nor other
scans change that name. Without a PatientID, each study counts as a patient, with a note, so that scans of two patients
never become fractions of one. The key from study IDs to PatientIDs is kept next to the predictions, as in a cohort.
Later scans of a patient therefore get the same study ID and the next fraction. An image file keeps its name without the
number of its channel. A case of a cohort keeps its id.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.adapters.dicom_scans import dicom_scan
from gynbtnet.datasets.adapters.scan_folders import GENERIC_NAMES
from gynbtnet.datasets.patient_key import KEY, PatientKey
from gynbtnet.imaging.files.volume_files import without_suffix
from gynbtnet.inference.manifest import MANIFEST, existing_series_uid
from gynbtnet.inference.scans.scan_input import ScanFiles
from gynbtnet.runtime.errors import BadInput

_NO_PATIENT_ID = "The scan has no PatientID, so each study counts as another patient."
_FRACTION = re.compile(r"(.+)_f(\d{1,6})")


@dataclass(frozen=True)
class NamedScans:
    """Scans by the names of their predictions.

    Attributes:
        scans: the scans, in the order in which they were given.
        key: key from PatientIDs to the study IDs in the names; without patients if no scan is DICOM.
    """

    scans: Mapping[str, ScanFiles]
    key: PatientKey


def name_scans(scans: Sequence[ScanFiles], out: Path) -> NamedScans:
    """Return the scans by the names of their predictions.

    Args:
        scans: the scans.
        out: folder of the predictions, which may contain a key and earlier predictions; nothing is written.

    Raises:
        BadInput: If a scan is given twice, or image files can't be distinguished by their folders.
    """
    key = PatientKey.load(Path(out) / KEY)
    dicom = [scan for scan in scans if scan.name is None and scan.series is not None]
    images = [scan for scan in scans if scan.name is None and scan.series is None]
    patients = {scan: scan.series.patient_or_study for scan in dicom if scan.series}
    if dicom:
        key = key.with_patients(patients.values())
    named = {scan: scan.name for scan in scans if scan.name is not None}
    named |= _fraction_names({scan: key.study_id(patient) for scan, patient in patients.items()}, Path(out))
    named |= dict(zip(images, _image_names([scan.path for scan in images]), strict=True))
    if len(set(named.values())) < len(scans):
        raise BadInput("A scan is given twice, or two image files have the same name; give each scan once.")
    return NamedScans({named[scan]: _with_patient_note(scan) for scan in scans}, key)


def _with_patient_note(scan: ScanFiles) -> ScanFiles:
    """Return a scan with a note if its patient is unknown."""
    if scan.series is None or scan.series.patient_id.strip() or scan.name is not None:
        return scan
    return replace(scan, note=f"{scan.note} {_NO_PATIENT_ID}" if scan.note else _NO_PATIENT_ID)


def _fraction_names(study_ids: Mapping[ScanFiles, str], out: Path) -> dict[ScanFiles, str]:
    """Return the names of DICOM scans: those of their earlier predictions, or the next fractions of their patients."""
    named: dict[ScanFiles, str] = {}
    for study_id in dict.fromkeys(study_ids.values()):
        prefix = re.sub(r"[^A-Za-z0-9-]+", "-", study_id).strip("-") or "patient"
        earlier = _earlier_fractions(out, prefix)
        number = max((number for number, _ in earlier), default=0)
        own = [scan for scan, owner in study_ids.items() if owner == study_id]
        for scan in sorted(own, key=_time_order):
            assert scan.series is not None
            uid = scan.series.series_uid
            known = [fraction for fraction, predicted in earlier if uid and predicted == uid]
            number += not known
            named[scan] = f"{prefix}_f{known[0] if known else number}"
    return named


def _earlier_fractions(out: Path, prefix: str) -> list[tuple[int, str]]:
    """Return fraction and SeriesInstanceUID of the predictions of a patient in a folder."""
    found = []
    for manifest in out.glob(f"{prefix}_f*/{MANIFEST}"):
        match = _FRACTION.fullmatch(manifest.parent.name)
        if match and match[1] == prefix:
            found.append((int(match[2]), existing_series_uid(manifest.parent) or ""))
    return sorted(found)


def _time_order(scan: ScanFiles) -> tuple[str | int, ...]:
    assert scan.series is not None
    return dicom_scan(scan.series).time_order


def _image_names(paths: Sequence[Path]) -> list[str]:
    """Return a unique name per image file: its own without channel, or that of its folder, with parents if needed."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise BadInput("A scan is given twice; give each scan once.")
    full = [_named_path(path.resolve()) for path in paths]
    for length in range(1, max((len(path.parts) for path in full), default=0) + 1):
        names = ["_".join(path.parts[-length:]).replace("/", "") for path in full]
        if len(set(names)) == len(names):
            return names
    return list(_with_suffixes(paths))


def _named_path(path: Path) -> Path:
    """Return the path whose last part is the name of an image file."""
    name = without_suffix(path.name).removesuffix("_0000")
    return path.parent if name.lower() in GENERIC_NAMES else path.with_name(name)


def _with_suffixes(paths: Sequence[Path]) -> Iterator[str]:
    """Yield the names of files that differ only in their suffixes."""
    for path in paths:
        yield path.name
