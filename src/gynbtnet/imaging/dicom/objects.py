"""Reading and writing of DICOM objects in general."""

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
from pydicom.config import IGNORE, disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput, traceback_without_message

CT_IMAGE = UID("1.2.840.10008.5.1.4.1.1.2")
MULTI_FRAME_CT = (UID("1.2.840.10008.5.1.4.1.1.2.1"), UID("1.2.840.10008.5.1.4.1.1.2.2"))  # enhanced, and converted
RT_STRUCTURE_SET = UID("1.2.840.10008.5.1.4.1.1.481.3")
RT_DOSE = UID("1.2.840.10008.5.1.4.1.1.481.2")
RT_PLAN = UID("1.2.840.10008.5.1.4.1.1.481.5")

_LOG = logging.getLogger(__name__)
_UNDEFINED_LENGTH = 0xFFFFFFFF

HEAD_LENGTH = 132
"""Bytes of the preamble and the prefix DICM (PS3.10 7.1)."""

_FIRST_ELEMENTS = {
    *((0x0002, element) for element in (0x0000, 0x0001, 0x0002, 0x0003, 0x0010)),
    *((0x0008, element) for element in (0x0000, 0x0001, 0x0005, 0x0008, 0x0012, 0x0013, 0x0014, 0x0016, 0x0018)),
}
"""First elements of files without a preamble: file meta information, or the SOP Common module."""

_FIRST_VRS = (b"UL", b"OB", b"UI", b"CS", b"DA", b"TM")
_MAX_FIRST_LENGTH = 256  # bytes
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
_MAX_UID_LENGTH = 64
_LENGTHS = {"SH": 16, "LO": 64, "PN": 64}
_NAME_PARTS, _NAME_GROUPS = 5, 3  # of a person's name, value representation PN
_DATE = re.compile(r"\d{8}")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")


@contextmanager
def lenient_pydicom() -> Iterator[None]:
    """Accept values that break a rule of the standard without harm (too long, unusual spelling), without warnings."""
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_object(path: Path, expected: str) -> FileDataset:
    """Read a DICOM file; use it and its result inside :func:`dicom_errors_as_bad_input`.

    Args:
        path: the file.
        expected: the expected object for messages, such as "an RTSTRUCT".

    Raises:
        BadInput: If the file doesn't exist, is damaged, or isn't DICOM.
    """
    dataset = _read(path, expected)
    if is_cut_short(dataset):
        raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.")
    return dataset


def read_header(path: Path, expected: str, keywords: Sequence[str] | None = None) -> FileDataset:
    """Read a DICOM file without its pixels; use it and its result inside :func:`dicom_errors_as_bad_input`.

    Args:
        path: the file.
        expected: the expected object for messages, such as "an RTSTRUCT".
        keywords: the elements to read; None for all.

    Raises:
        BadInput: As :func:`read_object`.
    """
    tags: list[int | str | tuple[int, int]] | None = None
    if keywords is not None:
        tags = ["SOPClassUID", "SOPInstanceUID", *keywords]
    return _read(path, expected, stop_before_pixels=True, specific_tags=tags)


def _read(path: Path, expected: str, **options: Any) -> FileDataset:
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected {expected}.")
    try:
        with path.open("rb") as file:
            kind = file_kind(file.read(HEAD_LENGTH))
        if kind == "other":
            raise InvalidDicomError
        dataset = pydicom.dcmread(path, force=kind == "bare", **options)
        if kind == "bare":
            dataset.file_meta = completed_file_meta(dataset)
        return dataset
    except InvalidDicomError as error:
        raise BadInput(f"{path} is not a DICOM file; expected {expected}.") from error
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises any exception on damaged bytes
        raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.") from error


def file_kind(head: bytes) -> Literal["part 10", "bare", "other"]:
    """Return the kind of a file from its first bytes.

    Args:
        head: the first ``HEAD_LENGTH`` bytes, or all of them if the file is shorter.

    Returns:
        ``part 10`` if there is a preamble and the prefix DICM (PS3.10 7.1). ``bare`` if a data element of group 0002 or
        0008 comes first instead, as in files of planning systems such as XiO. Only the SOPClassUID of a bare file shows
        later if it is DICOM. Otherwise ``other``.
    """
    if head[128:132] == b"DICM":
        return "part 10"
    for order in ("<", ">"):
        if len(head) < 8:
            break
        group, element = struct.unpack(f"{order}HH", head[:4])
        if (group, element) not in _FIRST_ELEMENTS:
            continue
        implicit = struct.unpack(f"{order}I", head[4:8])[0] <= _MAX_FIRST_LENGTH
        if head[4:6] in _FIRST_VRS or (implicit and order == "<"):
            return "bare"
    return "other"


def completed_file_meta(dataset: FileDataset) -> FileMetaDataset:
    """Return the file meta information of a bare file, completed from its data elements and its encoding.

    Raises:
        InvalidDicomError: If the object has no SOPClassUID of DICOM, so that the file isn't DICOM.
    """
    sop_class = str(dataset.get("SOPClassUID", ""))
    if not sop_class.startswith(_DICOM_ROOT):
        raise InvalidDicomError
    meta = FileMetaDataset()
    meta.update(dataset.file_meta)
    implicit, little = dataset.original_encoding
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    for keyword, value in (
        ("TransferSyntaxUID", syntax),
        ("MediaStorageSOPClassUID", sop_class),
        ("MediaStorageSOPInstanceUID", str(dataset.get("SOPInstanceUID", ""))),
    ):
        if keyword not in meta:
            setattr(meta, keyword, UID(value))
    return meta


@contextmanager
def dicom_errors_as_bad_input(path: Path) -> Iterator[None]:
    """Turn errors of damaged values into BadInput that names the file; accept values as :func:`lenient_pydicom`.

    pydicom parses a value on first access, and raises any exception on damaged bytes.
    """
    try:
        with lenient_pydicom():
            yield
    except (BadInput, MemoryError):
        raise
    except OSError as error:
        if error.errno is None:  # pydicom's own
            raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.") from error
        raise BadInput(f"{path} can't be read: {error.strerror}; make it readable and try again.") from error
    except Exception as error:
        _LOG.debug("While %s was read: %s", path, traceback_without_message(error))
        raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.") from error


def code_value(dataset: Dataset, keyword: str) -> str:
    """Return a coded value (VR CS) or number (IS) as text; empty if it is absent or invalid.

    If a length is damaged, a value contains the elements after it, such as a patient's name. Such a value is never
    shown.
    """
    text = str(dataset.get(keyword) or "")
    return text if _CODE.fullmatch(text) else ""


def integer_value(dataset: Dataset, keyword: str) -> str:
    """Return an integer string (IS) as text without leading zeros and plus; empty if it is absent or invalid."""
    text = str(dataset.get(keyword, ""))
    return str(int(text)) if _INTEGER.fullmatch(text) else ""


def uid_value(dataset: Dataset, keyword: str) -> str:
    """Return a UID as text; empty if it is absent, or longer than a UID can be."""
    text = str(dataset.get(keyword) or "")
    return text if len(text) <= _MAX_UID_LENGTH and text.isprintable() else ""


def unchecked_uid(text: str) -> UID:
    """Return a UID from a file, which may be damaged, without pydicom's warning."""
    return UID(text, validation_mode=IGNORE)


def is_cut_short(dataset: Dataset) -> bool:
    """Check if the file ended within a value; pydicom reads the rest of it without an error."""
    return any(
        isinstance(element, RawDataElement)
        and element.length != _UNDEFINED_LENGTH
        and len(element.value or b"") < element.length
        for element in dataset.values()
    )


def new_object(sop_class: UID, sop_instance_uid: UID, transfer_syntax: UID = ExplicitVRLittleEndian) -> Dataset:
    """Return an object with its file meta information and equipment, but without patient and study."""
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


def current_date_and_time(*kinds: str) -> Dataset:
    """Return the elements for date and time of each of ``kinds``, such as ``"InstanceCreation"``, set to now."""
    elements, now = Dataset(), datetime.datetime.now()
    for kind in kinds:
        setattr(elements, f"{kind}Date", now.strftime("%Y%m%d"))
        setattr(elements, f"{kind}Time", now.strftime("%H%M%S"))
    return elements


def patient_and_study(source: Dataset) -> Dataset:
    """Return the elements of patient and study for a new object; absent or invalid values become empty.

    Anonymisers write values that the standard doesn't allow (PS3.5 table 6.2-1), such as a date "ANON" or a sex
    "unknown". Texts that are too long are cut.

    Args:
        source: header of another object of the study; call this inside :func:`lenient_pydicom`.

    Returns:
        The elements, with the SpecificCharacterSet of the source if it is valid, otherwise UTF-8.
    """
    elements, character_set = Dataset(), source.get("SpecificCharacterSet")
    valid = character_set and _is_character_set(character_set)
    elements.SpecificCharacterSet = character_set if valid else "ISO_IR 192"
    for keyword in _PATIENT_AND_STUDY:
        value = _valid_value(source, keyword)
        if value or keyword != "StudyDescription":
            setattr(elements, keyword, value)
    return elements


def _is_character_set(terms: object) -> bool:
    """Check if one or several character sets are all defined terms (PS3.3 C.12.1.1.2)."""
    names = [terms] if isinstance(terms, str) else list(terms)  # type: ignore[call-overload]
    if len(names) == 1 and str(names[0]).startswith("ISO 2022"):  # only valid with a second one
        return False
    return all(str(name) in python_encoding and str(name) != "ISO_IR 6" for name in names)


def _valid_value(source: Dataset, keyword: str) -> str:
    """Return a value of patient or study in the form that the standard allows; empty if that isn't possible."""
    try:
        value = source.get(keyword)
        first = value[0] if isinstance(value, MultiValue | list) and value else value
    except Exception:  # pydicom raises any exception on values of a wrong kind
        return ""
    text = first.decode("ascii", "replace") if isinstance(first, bytes) else str(first or "")
    text = "".join(character for character in text if character.isprintable()).strip()
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
    """Return a SeriesDescription of at most 64 characters, marked SYNTHETIC if that of the source is."""
    if "SYNTHETIC" in str(source.get("SeriesDescription", "")).upper() and "SYNTHETIC" not in description:
        description = f"SYNTHETIC {description}"
    return description[:64]


def check_overwrite(path: Path, *, force: bool) -> None:
    """Raise BadInput if ``path`` exists, unless ``force``."""
    if path.exists() and not force:
        raise BadInput(f"{path} already exists; choose another path or overwrite it with --force.")


def write_object(dataset: Dataset, path: Path) -> None:
    """Write a DICOM file atomically."""
    with atomic_write(path) as partial:
        dataset.save_as(partial, enforce_file_format=True)


def decimal_strings(values: Iterable[float]) -> list[str]:
    """Format values as decimal strings of at most 16 characters, the maximum in DICOM."""
    return [format_number_as_ds(float(value)) for value in values]


def new_uid() -> UID:
    """Return a new unique UID (PS3.5 B.2: 2.25. and a UUID)."""
    return UID(f"2.25.{uuid.uuid4().int}")


def seeded_uid(*parts: object) -> UID:
    """Return the UID that follows from ``parts``: the same for the same parts, on any machine."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, repr(parts)).int}")
