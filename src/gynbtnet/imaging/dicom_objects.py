"""What every DICOM object that we read or write has in common."""

import datetime
import logging
import re
import uuid
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from gynbtnet.errors import BadInput
from gynbtnet.whole_files import written_whole

CT_IMAGE = UID("1.2.840.10008.5.1.4.1.1.2")
MULTI_FRAME_CT = (UID("1.2.840.10008.5.1.4.1.1.2.1"), UID("1.2.840.10008.5.1.4.1.1.2.2"))  # enhanced, and converted
RT_STRUCTURE_SET = UID("1.2.840.10008.5.1.4.1.1.481.3")
RT_DOSE = UID("1.2.840.10008.5.1.4.1.1.481.2")
RT_PLAN = UID("1.2.840.10008.5.1.4.1.1.481.5")

_LOG = logging.getLogger(__name__)
_UNDEFINED_LENGTH = 0xFFFFFFFF

_PATIENT_AND_STUDY = (
    "SpecificCharacterSet",
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
_LONGEST_UID = 64
_LENGTHS = {"SH": 16, "LO": 64}


@contextmanager
def lenient() -> Iterator[None]:
    """Values that break a rule of the standard without harm (too long, oddly spelt) pass without a word."""
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_object(path: Path, expected: str) -> FileDataset:
    """Read a whole DICOM file; call it, and look into what it returns, under :func:`reading`.

    Raises:
        BadInput: where the file is absent, damaged or no DICOM; ``expected`` says what it should have been.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected {expected}.")
    try:
        dataset = pydicom.dcmread(path)
        if is_cut_short(dataset):
            raise EOFError
        return dataset
    except InvalidDicomError as error:
        raise BadInput(f"{path} is no DICOM file; expected {expected}.") from error
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises anything at all on damaged bytes
        raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Look into the values of a DICOM file: as under :func:`lenient`, and what damaged ones raise names the file.

    pydicom parses a value when it is asked for, and raises anything at all on damaged bytes.
    """
    try:
        with lenient():
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


def code(dataset: Dataset, keyword: str) -> str:
    """A coded value (VR CS) or number (IS) as text; empty where it is absent, or is none.

    Where a length is damaged, a value swallows the elements behind it, a patient's name among them. Nothing is told of
    such a value.
    """
    found = str(dataset.get(keyword) or "")
    return found if _CODE.fullmatch(found) else ""


def uid(dataset: Dataset, keyword: str) -> str:
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


def set_now(dataset: Dataset, *kinds: str) -> None:
    """Set the date and time of each of ``kinds``, such as ``"InstanceCreation"``, to now."""
    now = datetime.datetime.now()
    for kind in kinds:
        setattr(dataset, f"{kind}Date", now.strftime("%Y%m%d"))
        setattr(dataset, f"{kind}Time", now.strftime("%H%M%S"))


def copy_patient_and_study(source: Dataset, target: Dataset) -> None:
    """Put ``target`` into the patient and study of ``source``; what the standard wants and is absent becomes empty.

    Archives hold longer values than the standard allows (PS3.5 table 6.2-1); they are cut.
    """
    for keyword in _PATIENT_AND_STUDY:
        if keyword in source:
            target[keyword] = source[keyword]
            length = _LENGTHS.get(target[keyword].VR)
            if length is not None:
                target[keyword].value = str(target[keyword].value)[:length]
        elif keyword not in {"SpecificCharacterSet", "StudyDescription"}:
            setattr(target, keyword, "")


def series_words(source: Dataset, description: str) -> str:
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
    with written_whole(path) as partial:
        dataset.save_as(partial, enforce_file_format=True)


def decimals(values: Iterable[float]) -> list[str]:
    """Values as decimal strings, each of at most the 16 characters that DICOM allows."""
    return [format_number_as_ds(float(value)) for value in values]


def new_uid() -> UID:
    """A UID that nobody had before (PS3.5 B.2: 2.25. and a UUID)."""
    return UID(f"2.25.{uuid.uuid4().int}")


def seeded_uid(*parts: object) -> UID:
    """The UID that belongs to ``parts``: the same for the same parts, on any machine."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, repr(parts)).int}")
