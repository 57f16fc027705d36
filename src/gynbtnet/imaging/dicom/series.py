"""Search for the DICOM series in a folder."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import file_digest
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from gynbtnet.imaging.dicom.ct_slice import HU_RESCALE_TYPES, rescale_type
from gynbtnet.imaging.dicom.damaged_files import (
    DamagedFile,
    file_meta_end,
    has_content_after_header,
    is_dicom_by_name,
)
from gynbtnet.imaging.dicom.dicomdir import find_missing_files, is_dicomdir
from gynbtnet.imaging.dicom.enhanced_ct import plane_orientation
from gynbtnet.imaging.dicom.objects import (
    CT_IMAGE,
    HEAD_LENGTH,
    MULTI_FRAME_CT,
    RT_DOSE,
    RT_PLAN,
    RT_STRUCTURE_SET,
    code_value,
    completed_file_meta,
    dicom_errors_as_bad_input,
    file_kind,
    is_cut_short,
    lenient_pydicom,
    read_header,
    uid_value,
    unchecked_uid,
)
from gynbtnet.imaging.file_search import files_below, is_broken_link
from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.progress import track

_DIRECTORY = UID("1.2.840.10008.1.3.10")  # media storage directory, a DICOMDIR
_MANY_FILES = 2000  # reading their headers takes about two seconds
_HEADER = [
    Tag(keyword)
    for keyword in (
        "ImageType",
        "SOPClassUID",
        "SOPInstanceUID",
        "Modality",
        "SeriesDescription",
        "PatientID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "ImageOrientationPatient",
        "Rows",
        "Columns",
        "NumberOfFrames",
        "RescaleType",
    )
]


@dataclass(frozen=True)
class FoundSeries:
    """Files of one DICOM series, described by their headers.

    Files of a folder that have no SeriesInstanceUID count as one series.

    Attributes:
        series_uid: the SeriesInstanceUID.
        study_uid: the StudyInstanceUID.
        frame_of_reference_uid: the FrameOfReferenceUID.
        patient_id: the PatientID.
        modality: DICOM's Modality. Objects that are CT only by name have other values: ``"CT LOCALIZER"`` for scout
            views, ``"CT (…)"`` with the name of the SOP class for screenshots and dose reports.
        description: the SeriesDescription.
        files: files of the series, sorted by path.
        images: number of images; larger than the number of files if one holds several.
        matrix: rows and columns of the first file.
        axial: True if the images are transverse to the patient within 45°; also with a tilted gantry.
        in_hu: True unless a file has a RescaleType other than HU, as maps of spectral CT have.
        missing_files: files of the series that a DICOMDIR lists but that don't exist.
        instances: the SOPInstanceUID of each file.
        copies: exact copies of ``files``, which are not among them.
    """

    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient_id: str = field(repr=False)
    modality: str
    description: str
    files: tuple[Path, ...]
    images: int
    matrix: tuple[int, int]
    axial: bool
    in_hu: bool = True
    missing_files: tuple[Path, ...] = ()
    instances: tuple[str, ...] = ()
    copies: tuple[Path, ...] = ()

    @property
    def patient_or_study(self) -> str:
        """PatientID; without one the study, so that scans of two patients never count as one patient's."""
        patient = unicode_composed(self.patient_id).strip()
        return patient or self.study_uid or self.series_uid or str(self.files[0].parent.absolute())

    @property
    def summary(self) -> str:
        """Short description of the series for lists."""
        return f"{self.series_uid} ({self.images} slices, “{self.description[:40]}”)"


@dataclass(frozen=True)
class SeriesSearch:
    """The series in a folder, and the files that should be DICOM and can't be read."""

    series: tuple[FoundSeries, ...]
    damaged: tuple[DamagedFile, ...]


@dataclass(frozen=True)
class _Member:
    """A file of a series."""

    path: Path
    images: int
    instance: str


def find_series(folder: Path) -> list[FoundSeries]:
    """Find all DICOM series below ``folder``, see :func:`search_series`, but refuse damaged files.

    Args:
        folder: a folder, or the DICOMDIR in it.

    Returns:
        The series with their files.

    Raises:
        BadInput: If the folder doesn't exist, or a DICOM file in it is damaged: it might be a slice of any series.
    """
    search = search_series(folder)
    if search.damaged:
        raise BadInput(search.damaged[0].reason)
    return list(search.series)


def search_series(folder: Path) -> SeriesSearch:
    """Find all DICOM series below ``folder`` by content: file names don't matter, other files are ignored.

    Damaged files are listed; :mod:`gynbtnet.imaging.dicom.incomplete_series` finds the series that may lack them. Exact
    copies of a file count once.

    Args:
        folder: a folder, or the DICOMDIR in it.

    Returns:
        The series with their files, and the damaged files.

    Raises:
        BadInput: If the folder doesn't exist.
    """
    folder = Path(folder)
    if folder.is_file() and is_dicomdir(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; expected a folder with DICOM files.")
    return search_series_in(files_below(folder))


def search_series_in(files: Sequence[Path]) -> SeriesSearch:
    """Find the DICOM series of some files by content, as :func:`search_series` does for the files below a folder.

    Args:
        files: files of any kind, sorted.

    Returns:
        The series with their files, and the damaged files.
    """
    described: dict[tuple[str, str, str], FoundSeries] = {}  # by the first file of each
    members: dict[tuple[str, str, str], list[_Member]] = {}
    damaged: list[DamagedFile] = []
    for path in track(files, "Reading DICOM headers") if len(files) > _MANY_FILES else files:
        try:
            with dicom_errors_as_bad_input(path):
                header = _header(path)
                if header is None:
                    continue
                own_uid = uid_value(header, "SeriesInstanceUID")
                parent = "" if own_uid else str(path.parent)  # if an anonymiser emptied UIDs, a folder is a series
                key = own_uid, parent, _modality(header)
                member = _Member(path, _whole_number(header, "NumberOfFrames", 1), _instance(header))
                in_hu = rescale_type(header) in HU_RESCALE_TYPES
                first = described.get(key) or _series(header, path)
                if not first.patient_id:
                    first = replace(first, patient_id=str(header.get("PatientID", "")))
        except BadInput as error:
            damaged.append(DamagedFile.from_error(path, error))
            continue
        described[key] = first if in_hu else replace(first, in_hu=False)
        members.setdefault(key, []).append(member)
    without_uid = _keys_without_series_uid(members)
    damaged += [
        DamagedFile(
            member.path,
            f"{member.path} has no SeriesInstanceUID, unlike the CT images next to it; export it again.",
            CT_IMAGE,
            member.instance,
            described[key].patient_id,
        )
        for key in without_uid
        for member in members[key]
    ]
    missing: dict[str, tuple[Path, ...]] = {}
    for path in (path for path in files if is_dicomdir(path)):
        try:
            with lenient_pydicom():
                missing |= find_missing_files([path])
        except BadInput as error:
            damaged.append(DamagedFile(path, str(error), sop_class_uid=_DIRECTORY))
    series = (_with_files(described[key], members[key], missing) for key in sorted(described) if key not in without_uid)
    return SeriesSearch(tuple(series), tuple(sorted(damaged, key=lambda file: file.path)))


def _keys_without_series_uid(members: Mapping[tuple[str, str, str], Sequence[_Member]]) -> set[tuple[str, str, str]]:
    """Return the keys of CT images without a SeriesInstanceUID, if other images in the folder have one.

    They are slices of these series.
    """
    folders = {
        file.path.parent for (uid, _, modality), files in members.items() if uid and modality == "CT" for file in files
    }
    return {key for key in members if not key[0] and key[2] == "CT" and Path(key[1]) in folders}


def _with_files(
    series: FoundSeries, members: Sequence[_Member], missing: Mapping[str, tuple[Path, ...]]
) -> FoundSeries:
    """Return the series with all of its files except exact copies."""
    kept: list[_Member] = []
    copies: list[Path] = []
    counts = Counter(member.instance for member in members)
    seen: set[tuple[str, bytes]] = set()
    for member in members:
        if member.instance and counts[member.instance] > 1:
            with member.path.open("rb") as file:
                key = member.instance, file_digest(file, "sha256").digest()
            if key in seen:
                copies.append(member.path)
                continue
            seen.add(key)
        kept.append(member)
    return replace(
        series,
        files=tuple(member.path for member in kept),
        images=sum(member.images for member in kept),
        missing_files=missing.get(series.series_uid, ()),
        instances=tuple(member.instance for member in kept),
        copies=tuple(copies),
    )


def _header(path: Path) -> Dataset | None:
    """Read the required part of a DICOM header; None if the file isn't DICOM (PS3.10 7.1) or needs no modality."""
    ends = True

    def is_past_header(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal ends
        ends = int(tag) < 0x30000000
        return not ends

    if is_broken_link(path):
        if is_dicom_by_name(path, b""):
            raise BadInput(f"{path} is a link to a file that doesn't exist; restore the file, or remove the link.")
        return None
    if path.is_dir():
        raise BadInput(f"The folder {path} can't be read; make it readable, or move it out of the folder.")
    with path.open("rb") as file:
        start = file.read(HEAD_LENGTH)
        kind = file_kind(start)
        if kind == "other":
            if is_dicom_by_name(path, start):
                raise BadInput(
                    f"{path} should be a DICOM file but is damaged or cut short; export it again, or remove it from "
                    "the folder."
                )
            return None
        file.seek(0)
        bare = kind == "bare"
        try:
            header = read_partial(file, stop_when=is_past_header, specific_tags=list(_HEADER), force=bare)
            if bare:
                header.file_meta = completed_file_meta(header)
        except Exception:
            if bare and not is_dicom_by_name(path, start):  # other files may begin with these bytes
                return None
            raise
        size = file.seek(0, os.SEEK_END)
    if is_cut_short(header) or (not bare and size < file_meta_end(header.file_meta)):
        raise EOFError("the file ends within a value")
    own_class = _sop_class(header)
    if ends and not header.get("Columns") and (has_content_after_header(own_class) or _is_nameless(own_class)):
        raise EOFError("the file ends within its header")
    if own_class in MULTI_FRAME_CT:  # its geometry is further down
        header = read_header(path, "a multi-frame CT")
    if header.get("Modality"):
        return header
    if own_class not in (CT_IMAGE, *MULTI_FRAME_CT, RT_STRUCTURE_SET, RT_DOSE, RT_PLAN) and not _is_nameless(own_class):
        return None  # such as a screenshot, which needs none
    hint = f"; its SOP class is {own_class.name}" if own_class and own_class.name != own_class else ""
    raise BadInput(f"{path} has no Modality{hint}. Export it again, or remove it from the folder.")


def _series(header: Dataset, path: Path) -> FoundSeries:
    """Return the series of a file, with this file alone."""
    return FoundSeries(
        series_uid=uid_value(header, "SeriesInstanceUID"),
        study_uid=uid_value(header, "StudyInstanceUID"),
        frame_of_reference_uid=uid_value(header, "FrameOfReferenceUID"),
        patient_id=str(header.get("PatientID", "")),
        modality=_modality(header),
        description=str(header.get("SeriesDescription", "")),
        files=(path,),
        images=_whole_number(header, "NumberOfFrames", 1),
        matrix=(_whole_number(header, "Rows", 0), _whole_number(header, "Columns", 0)),
        axial=_is_axial(header),
    )


def emptied_uids(header: Dataset) -> Dataset:
    """Return SOPClassUID and SOPInstanceUID from the file meta information if an anonymiser emptied them."""
    elements = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if not header.get(keyword):
            setattr(elements, keyword, header.file_meta.get(f"MediaStorage{keyword}", ""))
    return elements


def _modality(header: Dataset) -> str:
    """Return the Modality; other values for objects that are CT only by name, see :class:`FoundSeries`."""
    modality = code_value(header, "Modality") or "unknown"
    if modality != "CT":
        return modality
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return "CT LOCALIZER"
    sop_class = _sop_class(header)
    return "CT" if sop_class in (CT_IMAGE, *MULTI_FRAME_CT) else f"CT ({sop_class.name})"


def _sop_class(header: Dataset) -> UID:
    """Return the SOP class; the file meta information repeats it, and is complete even if the header is cut."""
    uids = [uid_value(header, "SOPClassUID"), uid_value(header.file_meta, "MediaStorageSOPClassUID")]
    known = [uid for uid in uids if not _is_nameless(unchecked_uid(uid))]
    return unchecked_uid(next((uid for uid in known if has_content_after_header(uid)), (known or uids)[0]))


def _is_nameless(sop_class: UID) -> bool:
    """Check if a class is unknown: it is empty, or not in the standard, such as a UID that was cut."""
    is_standard = sop_class.startswith("1.2.840.10008.") or not sop_class.is_valid
    return is_standard and sop_class.name == sop_class


def _instance(header: Dataset) -> str:
    return uid_value(header, "SOPInstanceUID") or uid_value(header.file_meta, "MediaStorageSOPInstanceUID")


def _is_axial(header: Dataset) -> bool:
    """Check if the normal of the first image is nearer to the patient's long axis than to any other axis."""
    cosines = plane_orientation(header) if _sop_class(header) in MULTI_FRAME_CT else None
    try:
        row, column = np.asarray(cosines or header.get("ImageOrientationPatient"), float).reshape(2, 3)
    except (TypeError, ValueError):
        return False
    return bool(np.abs(np.cross(row, column)).argmax() == 2)


def _whole_number(header: Dataset, keyword: str, default: int) -> int:
    try:
        return int(header.get(keyword) or default)
    except (TypeError, ValueError):
        return default
