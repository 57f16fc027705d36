"""Received DICOM instances on disk: written whole, flushed to the disk, and never changed.

Only an instance whose end is missing is replaced, as soon as the complete one arrives.
"""

import errno
import hashlib
import os
import shutil
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.missing_end import lacks_end
from gynbtnet.node.folders import hashed

_HEADER = (
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "SeriesDescription",
    "BodyPartExamined",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
)
_SUFFIX = ".dcm"
_META = 132  # first byte of the file meta information
_GROUP_LENGTH = b"\x02\x00\x00\x00UL"


@dataclass(frozen=True)
class InstanceHeader:
    """Elements of an instance that decide its series and rule.

    Attributes:
        sop_class_uid: the SOPClassUID.
        sop_instance_uid: the SOPInstanceUID.
        modality: the Modality.
        series_description: the SeriesDescription.
        body_part: the BodyPartExamined.
        patient_id: the PatientID.
        study_uid: the StudyInstanceUID.
        series_uid: the SeriesInstanceUID.
        frame_of_reference_uid: the FrameOfReferenceUID.
    """

    sop_class_uid: str
    sop_instance_uid: str
    modality: str
    series_description: str
    body_part: str
    patient_id: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """Patient, study and frame of reference, which are the same in all instances of a scan."""
        return self.patient_id, self.study_uid, self.frame_of_reference_uid


class Unusable(Exception):  # noqa: N818 - it is a property of the instance
    """Raised if an instance can't be kept. The message contains no identifier."""


class Full(Exception):  # noqa: N818 - it is a state of the disk
    """Raised if the disk has too little space for an instance."""


@dataclass(frozen=True)
class Inbox:
    """The folder of the received instances.

    An instance is written to a hidden file, flushed to the disk, and renamed. After :meth:`store` returns, no kill or
    power failure loses it.

    Attributes:
        folder: the folder; it is made when needed.
        minimum_free: free disk space in bytes below which nothing is stored.
    """

    folder: Path
    minimum_free: int = 0

    def store(self, content: bytes) -> tuple[InstanceHeader, Literal["new", "completed", "known"]]:
        """Store an instance durably.

        Args:
            content: a complete DICOM file, with preamble and file meta information.

        Returns:
            Its header, and whether it is new, completes an instance whose end is missing, or was received before.

        Raises:
            Unusable: If the instance can't be parsed, has no UIDs, is incomplete, or has the UID of another instance.
            Full: If the disk has too little space.
        """
        header = parse_header(content)
        if lacks_end(content):
            raise Unusable("it is damaged, or its end is missing; send it again when it is complete")
        path = self.series(hashed(header.series_uid)) / f"{hashed(header.sop_instance_uid)}{_SUFFIX}"
        is_new = not path.exists()
        if not is_new:
            stored = path.read_bytes()
            if _dataset(stored) == _dataset(content):
                return header, "known"
            if not (lacks_end(stored) or _continues(_dataset(content), _dataset(stored))):
                raise Unusable("another instance with the same SOPInstanceUID was received before")
        if shutil.disk_usage(_existing(self.folder)).free < self.minimum_free + len(content):
            raise Full
        try:
            _write_durably(path, content)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Full from error
            raise
        return header, "new" if is_new else "completed"

    def series(self, key: str) -> Path:
        """Return the folder of a series."""
        return self.folder / key

    def keys(self) -> tuple[str, ...]:
        """Return the keys of all series in the inbox."""
        if not self.folder.is_dir():
            return ()
        return tuple(
            sorted(path.name for path in self.folder.iterdir() if path.is_dir() and any(self.files(path.name)))
        )

    def files(self, key: str) -> tuple[Path, ...]:
        """Return the instances of a series, sorted by name."""
        return tuple(sorted(path for path in self.series(key).glob(f"*{_SUFFIX}") if not path.name.startswith(".")))

    def content(self, key: str) -> str:
        """Return a digest that changes if an instance joins the series."""
        return hashlib.sha256("\n".join(path.name for path in self.files(key)).encode()).hexdigest()[:16]

    def headers(self, key: str) -> tuple[InstanceHeader, ...]:
        """Return the headers of the instances of a series."""
        return tuple(parse_header(path) for path in self.files(key))

    def delete(self, files: Sequence[Path]) -> None:
        """Delete instances; one that arrives meanwhile stays."""
        for path in files:
            path.unlink(missing_ok=True)


def parse_header(source: bytes | Path) -> InstanceHeader:
    """Return the header of a DICOM file.

    Args:
        source: the file, or its content.

    Raises:
        Unusable: If it can't be parsed, or lacks the UIDs of class, instance, series or study.
    """
    try:
        with disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = BytesIO(source) if isinstance(source, bytes) else source
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_HEADER))
            values = [_text(dataset, keyword) for keyword in _HEADER]
    except Exception as error:  # a damaged dataset raises any exception
        raise Unusable(f"it can't be parsed as DICOM ({type(error).__name__})") from error
    named = dict(zip(_HEADER, values, strict=True))
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        if not named[keyword]:
            raise Unusable(f"it has no {keyword}")
    return InstanceHeader(
        sop_class_uid=named["SOPClassUID"],
        sop_instance_uid=named["SOPInstanceUID"],
        modality=named["Modality"],
        series_description=named["SeriesDescription"],
        body_part=named["BodyPartExamined"],
        patient_id=named["PatientID"],
        study_uid=named["StudyInstanceUID"],
        series_uid=named["SeriesInstanceUID"],
        frame_of_reference_uid=named["FrameOfReferenceUID"],
    )


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _dataset(content: bytes) -> memoryview:
    """Return the dataset; file meta information names the sender and differs between transfers."""
    has_length = content[_META : _META + 6] == _GROUP_LENGTH
    start = _META + 12 + struct.unpack_from("<I", content, _META + 8)[0] if has_length else _META
    return memoryview(content)[start:]


def _continues(dataset: memoryview, beginning: memoryview) -> bool:
    """Check if a dataset is longer than another and equal as far as that goes."""
    return len(dataset) > len(beginning) and dataset[: len(beginning)] == beginning


def _write_durably(path: Path, content: bytes) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        _flush_folder(path.parent.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{id(content):x}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows flushes names with the file
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)
