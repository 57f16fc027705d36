"""The patient and the study to which all slices of a CT series belong."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.objects import uid_value
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class SeriesIdentity:
    """Patient and study of a slice, or of a series.

    Attributes:
        patient_id: the PatientID without spaces around it; empty if unknown.
        study_uid: the StudyInstanceUID; empty if unknown.
    """

    patient_id: str = field(repr=False)
    study_uid: str = field(repr=False)

    @classmethod
    def of(cls, header: Dataset) -> "SeriesIdentity":
        """Return the identity in a header; call this inside :func:`dicom_errors_as_bad_input`."""
        return cls(str(header.get("PatientID") or "").strip(), uid_value(header, "StudyInstanceUID"))


def common_identity(slices: Sequence[SeriesIdentity], where: str) -> tuple[SeriesIdentity, tuple[str, ...]]:
    """Return the identity that the slices of a series share.

    Anonymisers and faulty archives give one SeriesInstanceUID to several scans. A slice without PatientID belongs to
    the patient of the others, unless the studies differ too. Several studies of one patient are possible: an archive
    may register a scan twice.

    Args:
        slices: identity of each file of the series, at least one.
        where: the series, for messages.

    Returns:
        The identity, and a note if the slices belong to several studies.

    Raises:
        BadInput: If the slices belong to several patients, or may do so.
    """
    patients = _distinct([one.patient_id for one in slices])
    studies = _distinct([one.study_uid for one in slices])
    remedy = "expected one patient: export each scan again, with a separate SeriesInstanceUID"
    if len(patients) > 1:
        raise BadInput(f"{where} has slices of {len(patients)} patients (PatientID) in one series; {remedy}.")
    if len(studies) > 1 and not all(one.patient_id for one in slices):
        raise BadInput(
            f"{where} has slices of {len(studies)} studies (StudyInstanceUID) in one series, and slices without a "
            f"PatientID; {remedy}."
        )
    note = (
        f"The slices belong to {len(studies)} studies of one patient; an RTSTRUCT or SEG would refer to the first of "
        "them."
    )
    identity = SeriesIdentity(next(iter(patients), ""), next(iter(studies), ""))
    return identity, (note,) if len(studies) > 1 else ()


def _distinct(values: Sequence[str]) -> list[str]:
    """Return the different values in their order, without empty ones."""
    return list(dict.fromkeys(value for value in values if value))
