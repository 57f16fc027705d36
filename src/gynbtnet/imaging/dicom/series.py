"""Which DICOM series a folder holds."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from gynbtnet.imaging.dicom.ct_slice import HOUNSFIELD, rescale_type
from gynbtnet.imaging.dicom.damaged_files import PREFIX, DamagedFile, end_of_meta, has_more_than_header, was_dicom
from gynbtnet.imaging.dicom.dicomdir import find_absent_files, is_directory_file
from gynbtnet.imaging.dicom.enhanced_ct import plane_orientation
from gynbtnet.imaging.dicom.objects import (
    CT_IMAGE,
    MULTI_FRAME_CT,
    RT_DOSE,
    RT_PLAN,
    RT_STRUCTURE_SET,
    code_value,
    complete_meta,
    dicom_errors_as_bad_input,
    file_kind,
    is_cut_short,
    lenient_pydicom,
    read_header,
    uid_value,
)
from gynbtnet.imaging.file_search import files_below
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.progress import track

_DIRECTORY = UID("1.2.840.10008.1.3.10")  # media storage directory, a DICOMDIR
_MANY_FILES = 2000  # about two seconds of headers
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
    """Files of one DICOM series, as their headers tell.

    Attributes:
        modality: DICOM's Modality. What is CT in name only stands apart: ``"CT LOCALIZER"`` for scout views,
            ``"CT (…)"`` with the name of its SOP class for screenshots and dose reports.
        description: the SeriesDescription.
        files: sorted by path.
        images: how many; more than files where one holds several.
        matrix: rows and columns, of the first file.
        in_hu: whether no file names a RescaleType other than HU, as maps of spectral CT do.
        axial: whether its images lie across the patient, within 45°; a tilted gantry is axial too.
        absent: files of the series that a DICOMDIR names and that are not there.
        instances: the SOPInstanceUID of each file.
        copies: exact copies of ``files``, which are left out of them.

    Files without a SeriesInstanceUID are one series a folder.
    """

    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient_id: str
    modality: str
    description: str
    files: tuple[Path, ...]
    images: int
    matrix: tuple[int, int]
    axial: bool
    in_hu: bool = True
    absent: tuple[Path, ...] = ()
    instances: tuple[str, ...] = ()
    copies: tuple[Path, ...] = ()

    @property
    def summary(self) -> str:
        """One series in a list of them."""
        return f"{self.series_uid} ({self.images} slices, “{self.description[:40]}”)"


@dataclass(frozen=True)
class SeriesSearch:
    """What a folder holds: its series, and the files that should be DICOM and can't be used."""

    series: tuple[FoundSeries, ...]
    damaged: tuple[DamagedFile, ...]


@dataclass(frozen=True)
class _Member:
    """A file of a series."""

    path: Path
    images: int
    instance: str


def find_series(folder: Path) -> list[FoundSeries]:
    """All DICOM series below ``folder``, as :func:`search_series` finds them, if none of its files is damaged.

    Raises:
        BadInput: If the folder is absent, or a DICOM file in it is damaged: it might be a slice of any series.
    """
    search = search_series(folder)
    if search.damaged:
        raise BadInput(search.damaged[0].reason)
    return list(search.series)


def search_series(folder: Path) -> SeriesSearch:
    """Find all DICOM series below ``folder`` by content: file names don't matter, other files are passed over.

    A damaged file stops nothing; :mod:`gynbtnet.imaging.dicom.incomplete_series` says which series may lack it. Exact
    copies of a file count once.

    Args:
        folder: or the DICOMDIR in it.

    Raises:
        BadInput: If the folder is absent.
    """
    folder = Path(folder)
    if folder.is_file() and is_directory_file(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; expected a folder with DICOM files.")
    files = files_below(folder)
    found: dict[tuple[str, str, str], FoundSeries] = {}  # with the first file of each
    members: dict[tuple[str, str, str], list[_Member]] = {}
    damaged: list[DamagedFile] = []
    for path in track(files, "Reading DICOM headers") if len(files) > _MANY_FILES else files:
        try:
            with dicom_errors_as_bad_input(path):
                header = _header(path)
                if header is None:
                    continue
                own_uid = uid_value(header, "SeriesInstanceUID")
                place = "" if own_uid else str(path.parent)  # where an anonymiser emptied UIDs, a folder is a series
                key = own_uid, place, _kind(header)
                member = _Member(path, _whole_number(header, "NumberOfFrames", 1), _instance(header))
                in_hu = rescale_type(header) in HOUNSFIELD
                first = found.get(key) or _series(header, path)
                if not first.patient_id:
                    first = replace(first, patient_id=str(header.get("PatientID", "")))
        except BadInput as error:
            damaged.append(DamagedFile.of(path, error))
            continue
        found[key] = first if in_hu else replace(first, in_hu=False)
        members.setdefault(key, []).append(member)
    strays = _strays(members)
    damaged += [
        DamagedFile(
            one.path,
            f"{one.path} has no SeriesInstanceUID, unlike the CT images next to it; export it again.",
            CT_IMAGE,
            one.instance,
            found[key].patient_id,
        )
        for key in strays
        for one in members[key]
    ]
    absent: dict[str, tuple[Path, ...]] = {}
    for path in (path for path in files if is_directory_file(path)):
        try:
            with lenient_pydicom():
                absent |= find_absent_files([path])
        except BadInput as error:
            damaged.append(DamagedFile(path, str(error), sop_class_uid=_DIRECTORY))
    series = (_with_files(found[key], members[key], absent) for key in sorted(found) if key not in strays)
    return SeriesSearch(tuple(series), tuple(sorted(damaged, key=lambda one: one.path)))


def _strays(members: Mapping[tuple[str, str, str], Sequence[_Member]]) -> set[tuple[str, str, str]]:
    """CT images without a SeriesInstanceUID, in a folder where others have one: they are slices of these."""
    named = {
        one.path.parent for (series, _, kind), files in members.items() if series and kind == "CT" for one in files
    }
    return {key for key in members if not key[0] and key[2] == "CT" and Path(key[1]) in named}


def _with_files(series: FoundSeries, members: Sequence[_Member], absent: Mapping[str, tuple[Path, ...]]) -> FoundSeries:
    """The series with all of its files but exact copies."""
    kept: list[_Member] = []
    copies: list[Path] = []
    counts = Counter(one.instance for one in members)
    seen: set[tuple[str, bytes]] = set()
    for one in members:
        if one.instance and counts[one.instance] > 1:
            with one.path.open("rb") as file:
                key = one.instance, file_digest(file, "sha256").digest()
            if key in seen:
                copies.append(one.path)
                continue
            seen.add(key)
        kept.append(one)
    return replace(
        series,
        files=tuple(one.path for one in kept),
        images=sum(one.images for one in kept),
        absent=absent.get(series.series_uid, ()),
        instances=tuple(one.instance for one in kept),
        copies=tuple(copies),
    )


def _header(path: Path) -> Dataset | None:
    """What we need of a DICOM file's header; None if the file is no DICOM (PS3.10 7.1) or has no modality."""
    ends = True

    def is_past_header(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal ends
        ends = int(tag) < 0x30000000
        return not ends

    with path.open("rb") as file:
        start = file.read(PREFIX)
        kind = file_kind(start)
        if kind == "other":
            if was_dicom(path, start):
                raise BadInput(
                    f"{path} is named or placed like a DICOM file and is none, it is damaged or cut short; export it "
                    "again, or take it out of the folder."
                )
            return None
        file.seek(0)
        bare = kind == "bare"
        try:
            header = read_partial(file, stop_when=is_past_header, specific_tags=list(_HEADER), force=bare)
            if bare:
                complete_meta(header)
        except Exception:
            if bare and not was_dicom(path, start):  # anything may begin with these bytes
                return None
            raise
        size = file.seek(0, os.SEEK_END)
    if is_cut_short(header) or (not bare and size < end_of_meta(header.file_meta)):
        raise EOFError("the file ends within a value")
    own_class = _sop_class(header)
    if ends and not header.get("Columns") and (has_more_than_header(own_class) or _is_nameless(own_class)):
        raise EOFError("the file ends within its header")
    if own_class in MULTI_FRAME_CT:  # its geometry stands further down
        header = read_header(path, "a multi-frame CT")
    if header.get("Modality"):
        return header
    if own_class not in (CT_IMAGE, *MULTI_FRAME_CT, RT_STRUCTURE_SET, RT_DOSE, RT_PLAN) and not _is_nameless(own_class):
        return None  # such as a screenshot, which needs none
    said = f"; its SOP class is {own_class.name}" if own_class and own_class.name != own_class else ""
    raise BadInput(f"{path} has no Modality{said}. Export it again, or take it out of the folder.")


def _series(header: Dataset, path: Path) -> FoundSeries:
    """The series that a file belongs to, with this file alone."""
    return FoundSeries(
        series_uid=uid_value(header, "SeriesInstanceUID"),
        study_uid=uid_value(header, "StudyInstanceUID"),
        frame_of_reference_uid=uid_value(header, "FrameOfReferenceUID"),
        patient_id=str(header.get("PatientID", "")),
        modality=_kind(header),
        description=str(header.get("SeriesDescription", "")),
        files=(path,),
        images=_whole_number(header, "NumberOfFrames", 1),
        matrix=(_whole_number(header, "Rows", 0), _whole_number(header, "Columns", 0)),
        axial=_is_axial(header),
    )


def complete_uids(header: Dataset) -> None:
    """Where an anonymiser emptied an object's own UIDs, take those that its file keeps for it."""
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if not header.get(keyword):
            setattr(header, keyword, header.file_meta.get(f"MediaStorage{keyword}", ""))


def _kind(header: Dataset) -> str:
    modality = code_value(header, "Modality") or "unknown"
    if modality != "CT":
        return modality
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return "CT LOCALIZER"
    sop_class = _sop_class(header)
    return "CT" if sop_class in (CT_IMAGE, *MULTI_FRAME_CT) else f"CT ({sop_class.name})"


def _sop_class(header: Dataset) -> UID:
    """The file meta information repeats it, and is whole if the header is cut."""
    said = [uid_value(header, "SOPClassUID"), uid_value(header.file_meta, "MediaStorageSOPClassUID")]
    known = [one for one in said if not _is_nameless(UID(one))]
    return UID(next((one for one in known if has_more_than_header(one)), (known or said)[0]))


def _is_nameless(sop_class: UID) -> bool:
    """Whether nothing is known of a class: none is named, or one that the standard doesn't have, as a cut UID."""
    is_standard = sop_class.startswith("1.2.840.10008.") or not sop_class.is_valid
    return is_standard and sop_class.name == sop_class


def _instance(header: Dataset) -> str:
    return uid_value(header, "SOPInstanceUID") or uid_value(header.file_meta, "MediaStorageSOPInstanceUID")


def _is_axial(header: Dataset) -> bool:
    """Whether the normal of its first image is nearer to the patient's long axis than to any other direction."""
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
