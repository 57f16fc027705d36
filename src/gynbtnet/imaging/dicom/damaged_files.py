"""DICOM files that can't be used, and what is left of their headers."""

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from gynbtnet.imaging.dicom.objects import (
    CT_IMAGE,
    MULTI_FRAME_CT,
    RT_DOSE,
    RT_PLAN,
    RT_STRUCTURE_SET,
    lenient_pydicom,
    uid_value,
)
from gynbtnet.runtime.errors import BadInput

PREFIX = 132
"""Bytes of the preamble and the mark DICM (PS3.10 7.1)."""

_GROUP_LENGTH = 12  # bytes of the element that holds the length of the file meta information
_NAMED_DICOM = {".dcm", ".dicom", ".ima"}
_RADIOTHERAPY = (RT_STRUCTURE_SET, RT_DOSE, RT_PLAN)
_IDENTITY = [Tag(keyword) for keyword in ("SOPClassUID", "SOPInstanceUID", "PatientID")]
_IDENTITY += [Tag(keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID")]


@dataclass(frozen=True)
class DamagedFile:
    """A file that should be DICOM and can't be used.

    Attributes:
        path: the file.
        reason: what is wrong with it, a sentence.
        sop_class_uid, sop_instance_uid, patient_id, study_uid, series_uid: what its header still says; empty if
            unknown.
    """

    path: Path
    reason: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    patient_id: str = ""
    study_uid: str = ""
    series_uid: str = ""

    @classmethod
    def of(cls, path: Path, error: BadInput) -> "DamagedFile":
        """Describe a file by what can still be read of it."""
        header, meta = _rest(path)
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
    def may_be_ct(self) -> bool:
        """Whether it may be a CT slice: it says so, or it doesn't say what it is."""
        return self.may_be(CT_IMAGE, *MULTI_FRAME_CT)

    def may_be(self, *sop_classes: UID) -> bool:
        """Whether it may be an object of one of these classes: it says so, or it doesn't say what it is."""
        known = UID(self.sop_class_uid)
        return known in sop_classes or not known.is_valid or known.name == known


def has_more_than_header(sop_class_uid: str) -> bool:
    """Whether every object of this class has elements of group 3000 or above: contours, a dose, a plan or pixels."""
    name = UID(sop_class_uid).name
    return sop_class_uid in _RADIOTHERAPY or name.endswith(" Image Storage")


def end_of_meta(meta: Dataset) -> int:
    """Where the file meta information ends by its own length, in bytes from the start of the file."""
    return PREFIX + _GROUP_LENGTH + int(meta.get("FileMetaInformationGroupLength", 0))


def was_dicom(path: Path, start: bytes) -> bool:
    """Whether a file without DICOM's mark is one by its name, or consists of zeros under a name without an ending.

    Args:
        path: the file.
        start: its first ``PREFIX`` bytes.
    """
    suffix = path.suffix.lower()
    if path.name.startswith("."):  # what an operating system keeps next to its files
        return False
    nameless = not suffix or suffix[1:].isdigit()
    return suffix in _NAMED_DICOM or (nameless and len(start) < PREFIX and not any(start))


def _rest(path: Path) -> tuple[Dataset, Dataset]:
    """What can be read of a header and of its file meta information; a value that was cut is left out."""
    header, meta = Dataset(), Dataset()
    with lenient_pydicom():
        try:
            meta = read_file_meta_info(path)
            if path.stat().st_size < end_of_meta(meta):
                del meta[max(meta.keys())]  # the one that was cut
            with path.open("rb") as file:
                header = read_partial(file, stop_when=_is_past_identity, specific_tags=list(_IDENTITY))
        except Exception:  # pydicom raises anything at all on damaged bytes; the caller has the reason
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
