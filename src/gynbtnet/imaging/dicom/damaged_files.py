"""Damaged DICOM files and the readable part of their headers."""

from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from gynbtnet.imaging.dicom.objects import (
    CT_IMAGE,
    HEAD_LENGTH,
    MULTI_FRAME_CT,
    RT_DOSE,
    RT_PLAN,
    RT_STRUCTURE_SET,
    lenient_pydicom,
    uid_value,
    unchecked_uid,
)
from gynbtnet.runtime.errors import BadInput

_GROUP_LENGTH = 12  # bytes of the element that holds the length of the file meta information
_NAMED_DICOM = {".dcm", ".dicom", ".ima"}
_RADIOTHERAPY = (RT_STRUCTURE_SET, RT_DOSE, RT_PLAN)
_IDENTITY = [Tag(keyword) for keyword in ("SOPClassUID", "SOPInstanceUID", "PatientID")]
_IDENTITY += [Tag(keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID")]


@dataclass(frozen=True)
class DamagedFile:
    """A file that should be DICOM and can't be read.

    Attributes:
        path: the file.
        reason: a sentence with the fault and the remedy.
        sop_class_uid: SOPClassUID in the readable part of its header; empty if unknown.
        sop_instance_uid: SOPInstanceUID, likewise.
        patient_id: PatientID, likewise.
        study_uid: StudyInstanceUID, likewise.
        series_uid: SeriesInstanceUID, likewise.
    """

    path: Path
    reason: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    patient_id: str = field(default="", repr=False)
    study_uid: str = ""
    series_uid: str = ""

    @classmethod
    def from_error(cls, path: Path, error: BadInput) -> "DamagedFile":
        """Describe a file by the error and by the readable part of its header."""
        header, meta = _readable_header(path)
        return cls(
            path,
            str(error),
            uid_value(meta, "MediaStorageSOPClassUID") or uid_value(header, "SOPClassUID"),
            uid_value(meta, "MediaStorageSOPInstanceUID") or uid_value(header, "SOPInstanceUID"),
            str(header.get("PatientID", "")),
            uid_value(header, "StudyInstanceUID"),
            uid_value(header, "SeriesInstanceUID"),
        )

    @property
    def is_possibly_ct(self) -> bool:
        """Return True if the file may be a CT slice, see :meth:`is_possibly`."""
        return self.is_possibly(CT_IMAGE, *MULTI_FRAME_CT)

    def is_possibly(self, *sop_classes: UID) -> bool:
        """Check if the file may be an object of one of these classes: its class is one of them, or unknown."""
        known = unchecked_uid(self.sop_class_uid)
        return known in sop_classes or not known.is_valid or known.name == known


def has_content_after_header(sop_class_uid: str) -> bool:
    """Check if all objects of a class have elements of group 3000 or above: contours, a dose, a plan or pixels."""
    name = unchecked_uid(sop_class_uid).name
    return sop_class_uid in _RADIOTHERAPY or name.endswith(" Image Storage")


def file_meta_end(meta: Dataset) -> int:
    """Return the end of the file meta information by its own length, in bytes from the start of the file."""
    return HEAD_LENGTH + _GROUP_LENGTH + int(meta.get("FileMetaInformationGroupLength", 0))


def is_dicom_by_name(path: Path, start: bytes) -> bool:
    """Check if a file without the prefix DICM should be DICOM.

    Its name is that of a DICOM file, or it consists of zeros and its name has no suffix.

    Args:
        path: the file.
        start: its first ``HEAD_LENGTH`` bytes.
    """
    suffix = path.suffix.lower()
    if path.name.startswith("."):  # files of the operating system
        return False
    nameless = not suffix or suffix[1:].isdigit()
    return suffix in _NAMED_DICOM or (nameless and len(start) < HEAD_LENGTH and not any(start))


def _readable_header(path: Path) -> tuple[Dataset, Dataset]:
    """Return the readable part of a header and of its file meta information, without values that were cut."""
    header, meta = Dataset(), Dataset()
    with lenient_pydicom():
        try:
            meta = read_file_meta_info(path)
            if path.stat().st_size < file_meta_end(meta):
                del meta[max(meta.keys())]  # the value that was cut
            with path.open("rb") as file:
                header = read_partial(file, stop_when=_is_past_identity, specific_tags=list(_IDENTITY))
        except Exception:  # pydicom raises any exception on damaged bytes; the caller has the reason
            pass
        return _whole_values(header), _whole_values(meta)


def _whole_values(dataset: Dataset) -> Dataset:
    whole = Dataset()
    for raw in list(dataset.values()):
        if not isinstance(raw, RawDataElement) or len(raw.value or b"") == raw.length:
            try:
                whole[raw.tag] = dataset[raw.tag]
            except Exception:
                continue
    return whole


def _is_past_identity(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) > 0x0020000E
