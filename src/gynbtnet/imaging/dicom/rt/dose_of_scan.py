"""The RTDOSEs of a scan, by the identifiers in their headers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from gynbtnet.imaging.dicom.series import FoundSeries
from gynbtnet.runtime.errors import BadInput


class ScanIdentity(Protocol):
    """Identifiers by which a dose is matched with a scan; an anonymiser may have emptied some."""

    @property
    def series_uid(self) -> str:
        """The SeriesInstanceUID."""

    @property
    def study_uid(self) -> str:
        """The StudyInstanceUID."""

    @property
    def frame_of_reference_uid(self) -> str:
        """The FrameOfReferenceUID."""

    @property
    def patient_id(self) -> str:
        """The PatientID."""


def doses_of_scan(
    scan: ScanIdentity,
    doses: Iterable[FoundSeries],
    scans: Iterable[ScanIdentity],
    contour_patient: str = "",
) -> tuple[Path, ...]:
    """Return the RTDOSE files of a scan, sorted.

    A dose belongs to the scan with the same frame of reference; without a frame, to that with the same PatientID. If
    several scans share it, or if both are absent, the dose belongs to the scan of the same study. Two empty identifiers
    don't match, since an anonymiser empties those of all patients.

    Args:
        scan: the scan.
        doses: series of doses.
        scans: all scans that a dose could belong to; ``scan`` may be among them.
        contour_patient: PatientID of the contours on the scan, which is not always that of the scan; empty if unknown.

    Raises:
        BadInput: If a dose would belong to the scan, but has another PatientID, which no other of these scans has.
    """
    frame_or_patient = _frame_or_patient(scan)
    own = [dose for dose in doses if _frame_or_patient(dose) == frame_or_patient]
    others = [
        other for other in scans if _frame_or_patient(other) == frame_or_patient and other.series_uid != scan.series_uid
    ]
    if others or not any(frame_or_patient):
        own = [dose for dose in own if dose.study_uid and dose.study_uid == scan.study_uid]
    patients = {scan.patient_id.strip(), contour_patient.strip()}
    other_patients = {other.patient_id.strip() for other in others} - patients
    own = [dose for dose in own if dose.patient_id.strip() not in other_patients - {""}]
    foreign = [dose for dose in own if dose.patient_id.strip() not in {*patients, ""}]
    if foreign and scan.patient_id.strip():
        raise BadInput(
            f"{foreign[0].files[0]} has another PatientID than the CT in whose frame of reference or study it is. "
            "Expected the dose of the same patient: export both again, or remove the dose."
        )
    return tuple(sorted(path for dose in own for path in dose.files))


def _frame_or_patient(series: ScanIdentity) -> tuple[str, str]:
    frame = series.frame_of_reference_uid
    return frame, "" if frame else series.patient_id
