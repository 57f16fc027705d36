"""What every DICOM object that we read or write has in common."""

import datetime
import logging
import re
import struct
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pydicom
from pydicom.charset import python_encoding
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

CT_IMAGE = UID("1.2.840.10008.5.1.4.1.1.2")
MULTI_FRAME_CT = (UID("1.2.840.10008.5.1.4.1.1.2.1"), UID("1.2.840.10008.5.1.4.1.1.2.2"))  # enhanced, and converted
RT_STRUCTURE_SET = UID("1.2.840.10008.5.1.4.1.1.481.3")
RT_DOSE = UID("1.2.840.10008.5.1.4.1.1.481.2")
RT_PLAN = UID("1.2.840.10008.5.1.4.1.1.481.5")

_LOG = logging.getLogger(__name__)
_UNDEFINED_LENGTH = 0xFFFFFFFF

_HEAD = 132  # bytes of preamble and prefix
_FIRST_ELEMENTS = {
    *((0x0002, element) for element in (0x0000, 0x0001, 0x0002, 0x0003, 0x0010)),
    *((0x0008, element) for element in (0x0000, 0x0001, 0x0005, 0x0008, 0x0012, 0x0013, 0x0014, 0x0016, 0x0018)),
}
"""What a file without a preamble may begin with: elements of file meta information, or of the SOP Common module."""

_FIRST_VRS = (b"UL", b"OB", b"UI", b"CS", b"DA", b"TM")
_LONGEST_FIRST = 256  # bytes
_DICOM_ROOT = "1.2.840.10008."

_PATIENT_AND_STUDY = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
)

_CODE = re.compile(r"[A-Za-z0-9_ .+-]{1,16}")
_INTEGER = re.compile(r" *[+-]?[0-9]{1,12} *")
_LONGEST_UID = 64
_LENGTHS = {"SH": 16, "LO": 64, "PN": 64}
_NAME_PARTS, _NAME_GROUPS = 5, 3  # of a person's name, value representation PN
_DATE = re.compile(r"\d{8}")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")


@contextmanager
def lenient_pydicom() -> Iterator[None]:
    """Values that break a rule of the standard without harm (too long, oddly spelt) pass without a word."""
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_object(path: Path, expected: str) -> FileDataset:
    """Read a whole DICOM file; call it, and look into what it returns, under :func:`dicom_errors_as_bad_input`.

    Raises:
        BadInput: where the file is absent, damaged or no DICOM; ``expected`` says what it should have been.
    """
    dataset = _read(path, expected)
    if is_cut_short(dataset):
        raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.")
    return dataset


def read_header(path: Path, expected: str, keywords: Sequence[str] | None = None) -> FileDataset:
    """Read a DICOM file without its pixels; use it and its result inside :func:`dicom_errors_as_bad_input`.

    Args:
        path: the file.
        expected: what it should have been, for messages.
        keywords: the elements to read; None for all.

    Raises:
        BadInput: As :func:`read_object`.
    """
    tags: list[int | str | tuple[int, int]] | None = None
    if keywords is not None:
        tags = ["SOPClassUID", "SOPInstanceUID", *keywords]
    return _read(path, expected, stop_before_pixels=True, specific_tags=tags)


def _read(path: Path, expected: str, **how: Any) -> FileDataset:
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected {expected}.")
    try:
        with path.open("rb") as file:
            kind = file_kind(file.read(_HEAD))
        if kind == "other":
            raise InvalidDicomError
        dataset = pydicom.dcmread(path, force=kind == "bare", **how)
        if kind == "bare":
            complete_meta(dataset)
        return dataset
    except InvalidDicomError as error:
        raise BadInput(f"{path} is no DICOM file; expected {expected}.") from error
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises anything at all on damaged bytes
        raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.") from error


def file_kind(head: bytes) -> Literal["part 10", "bare", "other"]:
    """What a file is by its first bytes.

    "part 10" has a preamble and the prefix DICM (PS3.10 7.1). "bare" begins with a data element of group 0002 or 0008
    instead, as planning systems such as XiO write files; whether it is DICOM shows only when it is read, by its
    SOPClassUID. Everything else is "other".
    """
    if head[128:132] == b"DICM":
        return "part 10"
    for order in ("<", ">"):
        if len(head) < 8:
            break
        group, element = struct.unpack(f"{order}HH", head[:4])
        if (group, element) not in _FIRST_ELEMENTS:
            continue
        implicit = struct.unpack(f"{order}I", head[4:8])[0] <= _LONGEST_FIRST
        if head[4:6] in _FIRST_VRS or (implicit and order == "<"):
            return "bare"
    return "other"


def complete_meta(dataset: FileDataset) -> None:
    """Complete the file meta information of a file without any, from what was found in reading it.

    Raises:
        InvalidDicomError: If the object has no SOPClassUID of DICOM, so that the file is something else.
    """
    sop_class = str(dataset.get("SOPClassUID", ""))
    if not sop_class.startswith(_DICOM_ROOT):
        raise InvalidDicomError
    meta = dataset.file_meta
    implicit, little = dataset.original_encoding
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    for keyword, value in (
        ("TransferSyntaxUID", syntax),
        ("MediaStorageSOPClassUID", sop_class),
        ("MediaStorageSOPInstanceUID", str(dataset.get("SOPInstanceUID", ""))),
    ):
        if keyword not in meta:
            setattr(meta, keyword, UID(value))


@contextmanager
def dicom_errors_as_bad_input(path: Path) -> Iterator[None]:
    """Read values of a DICOM file as :func:`lenient_pydicom` does; errors of damaged values name the file.

    pydicom parses a value when it is asked for, and raises anything at all on damaged bytes.
    """
    try:
        with lenient_pydicom():
            yield
    except (BadInput, MemoryError):
        raise
    except OSError as error:
        if error.errno is None:  # pydicom's own
            raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.") from error
        raise BadInput(f"{path} can't be read: {error.strerror}; see that it can be, and run it again.") from error
    except Exception as error:
        _LOG.debug("While %s was read:", path, exc_info=True)
        raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.") from error


def code_value(dataset: Dataset, keyword: str) -> str:
    """A coded value (VR CS) or number (IS) as text; empty where it is absent, or is none.

    Where a length is damaged, a value swallows the elements behind it, a patient's name among them. Nothing is told of
    such a value.
    """
    found = str(dataset.get(keyword) or "")
    return found if _CODE.fullmatch(found) else ""


def integer_value(dataset: Dataset, keyword: str) -> str:
    """An integer string (IS) as text without leading zeros and plus; empty if it is absent, or is none."""
    found = str(dataset.get(keyword, ""))
    return str(int(found)) if _INTEGER.fullmatch(found) else ""


def uid_value(dataset: Dataset, keyword: str) -> str:
    """A UID as text; empty where it is absent, or longer than one can be."""
    found = str(dataset.get(keyword) or "")
    return found if len(found) <= _LONGEST_UID and found.isprintable() else ""


def is_cut_short(dataset: Dataset) -> bool:
    """Whether the file ended within a value; pydicom reads what is left of it without a word."""
    return any(
        isinstance(element, RawDataElement)
        and element.length != _UNDEFINED_LENGTH
        and len(element.value or b"") < element.length
        for element in dataset.values()
    )


def new_object(sop_class: UID, sop_instance_uid: UID, transfer_syntax: UID = ExplicitVRLittleEndian) -> Dataset:
    """An object with its file meta information and equipment; patient and study are still to come."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = sop_instance_uid
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = sop_instance_uid
    dataset.Manufacturer = "GynBTNet"
    dataset.ManufacturerModelName = "GynBTNet"
    return dataset


def set_content_date(dataset: Dataset, *kinds: str) -> None:
    """Set the date and time of each of ``kinds``, such as ``"InstanceCreation"``, to now."""
    now = datetime.datetime.now()
    for kind in kinds:
        setattr(dataset, f"{kind}Date", now.strftime("%Y%m%d"))
        setattr(dataset, f"{kind}Time", now.strftime("%H%M%S"))


def copy_patient_and_study(source: Dataset, target: Dataset) -> None:
    """Put ``target`` into the patient and study of ``source``; values that are absent or invalid become empty.

    Anonymisers write what the standard doesn't allow (PS3.5 table 6.2-1), such as a date "ANON" or a sex "unknown".
    Texts that are too long are cut.

    Args:
        source: a header; call this under :func:`lenient_pydicom`.
        target: the object to complete.
    """
    character_set = source.get("SpecificCharacterSet")
    if character_set and _is_character_set(character_set):
        target.SpecificCharacterSet = character_set
    elif "SpecificCharacterSet" not in target:
        target.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _PATIENT_AND_STUDY:
        value = _valid(source, keyword)
        if value or keyword != "StudyDescription":
            setattr(target, keyword, value)


def _is_character_set(terms: object) -> bool:
    """Whether all of one or several character sets are defined terms (PS3.3 C.12.1.1.2)."""
    found = [terms] if isinstance(terms, str) else list(terms)  # type: ignore[call-overload]
    if len(found) == 1 and str(found[0]).startswith("ISO 2022"):  # a term for one of several
        return False
    return all(str(term) in python_encoding and str(term) != "ISO_IR 6" for term in found)


def _valid(source: Dataset, keyword: str) -> str:
    """A value of the patient or study as the standard allows it; empty if it is absent or can't be."""
    try:
        found = source.get(keyword)
        first = found[0] if isinstance(found, MultiValue | list) and found else found
    except Exception:  # pydicom raises anything at all on values of a wrong kind
        return ""
    text = first.decode("ascii", "replace") if isinstance(first, bytes) else str(first or "")
    text = "".join(one for one in text if one.isprintable()).strip()
    kind = dictionary_VR(keyword)
    if kind == "DA":
        return text if _DATE.fullmatch(text) and _is_date(text) else ""
    if kind == "TM":
        return text if _TIME.fullmatch(text) else ""
    if keyword == "PatientSex":
        return text if text in ("M", "F", "O") else ""
    if kind == "PN":
        groups = [group.split("^")[:_NAME_PARTS] for group in text.split("=")[:_NAME_GROUPS]]
        text = "=".join("^".join(parts) for parts in groups)
    length = _LENGTHS.get(kind)
    return text if length is None else text.replace("\\", " ")[:length].strip()


def _is_date(text: str) -> bool:
    try:
        datetime.datetime.strptime(text, "%Y%m%d")
    except ValueError:
        return False
    return True


def series_description(source: Dataset, description: str) -> str:
    """A SeriesDescription of at most 64 characters, which says of what was made on a synthetic scan that it is."""
    if "SYNTHETIC" in str(source.get("SeriesDescription", "")).upper() and "SYNTHETIC" not in description:
        description = f"SYNTHETIC {description}"
    return description[:64]


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raise BadInput where ``path`` exists and not ``force``."""
    if path.exists() and not force:
        raise BadInput(f"{path} exists already and is not overwritten without --force; choose another place.")


def write_object(dataset: Dataset, path: Path) -> None:
    """Write a DICOM file whole or not at all."""
    with atomic_write(path) as partial:
        dataset.save_as(partial, enforce_file_format=True)


def decimal_strings(values: Iterable[float]) -> list[str]:
    """Values as decimal strings, each of at most the 16 characters that DICOM allows."""
    return [format_number_as_ds(float(value)) for value in values]


def new_uid() -> UID:
    """A UID that nobody had before (PS3.5 B.2: 2.25. and a UUID)."""
    return UID(f"2.25.{uuid.uuid4().int}")


def seeded_uid(*parts: object) -> UID:
    """The UID that belongs to ``parts``: the same for the same parts, on any machine."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, repr(parts)).int}")
