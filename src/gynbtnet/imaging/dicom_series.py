"""Which DICOM series a folder holds."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from gynbtnet.errors import BadInput
from gynbtnet.imaging.dicom_objects import (
    CT_IMAGE,
    MULTI_FRAME_CT,
    RT_STRUCTURE_SET,
    code,
    complete_meta,
    file_kind,
    lenient,
    read_header,
    reading,
    uid,
)
from gynbtnet.imaging.dicomdir import absent_files, is_directory_file
from gynbtnet.imaging.enhanced_ct import orientation_of
from gynbtnet.imaging.file_search import files_below
from gynbtnet.progress import track

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
        axial: whether its images lie across the patient, within 45°; a tilted gantry is axial too.
        absent: files of the series that a DICOMDIR names and that are not there.

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
    absent: tuple[Path, ...] = ()

    @property
    def summary(self) -> str:
        """One series in a list of them."""
        return f"{self.series_uid} ({self.images} slices, “{self.description[:40]}”)"


def find_series(folder: Path, damaged: dict[Path, BadInput] | None = None) -> list[FoundSeries]:
    """All DICOM series below ``folder``, by content: file names don't matter, other files are passed over.

    Args:
        folder: or the DICOMDIR in it.
        damaged: is filled with the damaged files and what is wrong with each, for a caller who can do without them.

    Raises:
        BadInput: where the folder is absent, or a DICOM file in it is damaged and nobody asks for these: it might be a
            slice of any series.
    """
    folder = Path(folder)
    if folder.is_file() and is_directory_file(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; expected a folder with DICOM files.")
    files = files_below(folder)
    found: dict[tuple[str, str, str], FoundSeries] = {}  # with the first file of each
    members: dict[tuple[str, str, str], list[tuple[Path, int]]] = {}
    for path in track(files, "Reading DICOM headers") if len(files) > _MANY_FILES else files:
        try:
            with reading(path):
                header = _header(path)
                if header is None:
                    continue
                own_uid = uid(header, "SeriesInstanceUID")
                place = "" if own_uid else str(path.parent)  # where an anonymiser emptied UIDs, a folder is a series
                key = own_uid, place, _kind(header)
                images = _whole_number(header, "NumberOfFrames", 1)
                first = found.get(key) or _series(header, path)
        except BadInput as error:
            if damaged is None:
                raise
            damaged[path] = error
            continue
        found[key] = first
        members.setdefault(key, []).append((path, images))
    with lenient():
        absent = absent_files([path for path in files if is_directory_file(path)])
    return [
        replace(
            found[key],
            files=tuple(path for path, _ in members[key]),
            images=sum(images for _, images in members[key]),
            absent=absent.get(key[0], ()),
        )
        for key in sorted(found)
    ]


def _header(path: Path) -> Dataset | None:
    """What we need of a DICOM file's header; None if the file is no DICOM (PS3.10 7.1) or has no modality."""
    with path.open("rb") as file:
        kind = file_kind(file.read(132))
        if kind == "other":
            return None
        file.seek(0)
        bare = kind == "bare"
        try:
            header = read_partial(file, stop_when=_is_past_header, specific_tags=list(_HEADER), force=bare)
            if bare:
                complete_meta(header)
        except Exception:
            if bare:  # anything may begin with these bytes
                return None
            raise
    own_class = header.file_meta.get("MediaStorageSOPClassUID")
    if own_class in MULTI_FRAME_CT:  # its geometry stands further down
        header = read_header(path, "a multi-frame CT")
    if header.get("Modality"):
        return header
    if own_class in (CT_IMAGE, *MULTI_FRAME_CT, RT_STRUCTURE_SET):
        raise ValueError("an image or structure set without a modality")
    return None


def _series(header: Dataset, path: Path) -> FoundSeries:
    """The series that a file belongs to, with this file alone."""
    return FoundSeries(
        series_uid=uid(header, "SeriesInstanceUID"),
        study_uid=uid(header, "StudyInstanceUID"),
        frame_of_reference_uid=uid(header, "FrameOfReferenceUID"),
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


def _is_past_header(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >= 0x30000000


def _kind(header: Dataset) -> str:
    modality = code(header, "Modality") or "unknown"
    if modality != "CT":
        return modality
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return "CT LOCALIZER"
    sop_class = _sop_class(header)
    return "CT" if sop_class in (CT_IMAGE, *MULTI_FRAME_CT) else f"CT ({sop_class.name})"


def _sop_class(header: Dataset) -> UID:
    return UID(str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID", "")))


def _is_axial(header: Dataset) -> bool:
    """Whether the normal of its first image is nearer to the patient's long axis than to any other direction."""
    cosines = orientation_of(header) if _sop_class(header) in MULTI_FRAME_CT else None
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
