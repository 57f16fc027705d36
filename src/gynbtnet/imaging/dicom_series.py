"""Which DICOM series a folder holds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from gynbtnet.errors import BadInput
from gynbtnet.imaging.dicom_objects import CT_IMAGE, MULTI_FRAME_CT, RT_STRUCTURE_SET, lenient
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
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "Rows",
        "Columns",
        "NumberOfFrames",
        "PixelSpacing",
        "PixelRepresentation",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
        "RescaleIntercept",
        "RescaleSlope",
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
    grouped: dict[tuple[str, str, str], list[tuple[Path, Dataset]]] = {}
    with lenient():
        for path in track(files, "Reading DICOM headers") if len(files) > _MANY_FILES else files:
            try:
                header = read_header(path)
            except BadInput as error:
                if damaged is None:
                    raise
                damaged[path] = error
                continue
            if header is not None:
                uid = str(header.get("SeriesInstanceUID", ""))
                place = "" if uid else str(path.parent)  # where an anonymiser emptied UIDs, a folder is a series
                grouped.setdefault((uid, place, _kind(header)), []).append((path, header))
        absent = absent_files([path for path in files if is_directory_file(path)])
        return [
            FoundSeries(
                series_uid=series_uid,
                study_uid=str(members[0][1].get("StudyInstanceUID", "")),
                frame_of_reference_uid=str(members[0][1].get("FrameOfReferenceUID", "")),
                patient_id=str(members[0][1].get("PatientID", "")),
                modality=kind,
                description=str(members[0][1].get("SeriesDescription", "")),
                files=tuple(path for path, _ in members),
                images=sum(_whole_number(header, "NumberOfFrames", 1) for _, header in members),
                matrix=(_whole_number(members[0][1], "Rows", 0), _whole_number(members[0][1], "Columns", 0)),
                axial=_is_axial(members[0][1]),
                absent=absent.get(series_uid, ()),
            )
            for (series_uid, _, kind), members in sorted(grouped.items(), key=lambda item: item[0])
        ]


def read_header(path: Path) -> Dataset | None:
    """What we need of a DICOM file's header; None where the file is no DICOM (PS3.10 7.1) or has no modality."""
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return None
        file.seek(0)
        try:
            header = read_partial(file, stop_when=_is_past_header, specific_tags=list(_HEADER))
            if header.file_meta.get("MediaStorageSOPClassUID") in MULTI_FRAME_CT:  # its geometry stands further down
                header = pydicom.dcmread(path, stop_before_pixels=True)
            complete_uids(header)
            own_class = header.file_meta.get("MediaStorageSOPClassUID")
            if not header.get("Modality") and own_class in (CT_IMAGE, *MULTI_FRAME_CT, RT_STRUCTURE_SET):
                raise ValueError("an image or structure set without a modality")
            return header if header.get("Modality") else None
        except Exception as error:  # pydicom raises anything at all on damaged bytes
            raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.") from error


def complete_uids(header: Dataset) -> None:
    """Where an anonymiser emptied an object's own UIDs, take those that its file keeps for it."""
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if not header.get(keyword):
            setattr(header, keyword, header.file_meta.get(f"MediaStorage{keyword}", ""))


def _is_past_header(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >= 0x30000000


def _kind(header: Dataset) -> str:
    modality = str(header.Modality)
    if modality != "CT":
        return modality
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return "CT LOCALIZER"
    sop_class = UID(str(header.get("SOPClassUID", "")))
    return "CT" if sop_class in (CT_IMAGE, *MULTI_FRAME_CT) else f"CT ({sop_class.name})"


def _is_axial(header: Dataset) -> bool:
    """Whether the normal of its first image is nearer to the patient's long axis than to any other direction."""
    cosines = orientation_of(header) if header.get("SOPClassUID") in MULTI_FRAME_CT else None
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
