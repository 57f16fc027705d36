"""CT series from DICOM files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from gynbtnet.errors import BadInput
from gynbtnet.imaging.dicom_objects import CT_IMAGE, RT_STRUCTURE_SET, lenient
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.slice_geometry import SlicePlane, geometry_of_slices
from gynbtnet.imaging.volume import Volume
from gynbtnet.progress import track

AIR = -1024
"""HU of whatever lies outside a scanner's field of view, and of everything that claims to be thinner than air."""

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
            ``"CT (…)"`` with the name of its SOP class for screenshots, dose reports and enhanced multi-frame CT.
        description: the SeriesDescription.
        files: sorted by path.

    Files without a SeriesInstanceUID are one series a folder.
    """

    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient_id: str
    modality: str
    description: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class CTSeries:
    """A CT scan with what DICOM objects drawn on it must refer to.

    Attributes:
        volume: HU as int16 (float32 where a rescale slope is no whole number); z along the slice normal.
        sop_instance_uids, files: one a slice, in the order of the volume's z.
    """

    volume: Volume
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient_id: str
    sop_instance_uids: tuple[str, ...]
    files: tuple[Path, ...]


def find_series(folder: Path) -> list[FoundSeries]:
    """All DICOM series below ``folder``, by content: file names don't matter, other files are passed over.

    Raises:
        BadInput: where the folder is absent or a DICOM file in it is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; expected a folder with DICOM files.")
    files = files_below(folder)
    grouped: dict[tuple[str, str, str], list[tuple[Path, Dataset]]] = {}
    with lenient():
        for path in track(files, "Reading DICOM headers") if len(files) > _MANY_FILES else files:
            header = _read_header(path)
            if header is not None:
                uid = str(header.get("SeriesInstanceUID", ""))
                place = "" if uid else str(path.parent)  # where an anonymiser emptied UIDs, a folder is a series
                grouped.setdefault((uid, place, _kind(header)), []).append((path, header))
        return [
            FoundSeries(
                series_uid=series_uid,
                study_uid=str(members[0][1].get("StudyInstanceUID", "")),
                frame_of_reference_uid=str(members[0][1].get("FrameOfReferenceUID", "")),
                patient_id=str(members[0][1].get("PatientID", "")),
                modality=kind,
                description=str(members[0][1].get("SeriesDescription", "")),
                files=tuple(path for path, _ in members),
            )
            for (series_uid, _, kind), members in sorted(grouped.items(), key=lambda item: item[0])
        ]


def read_ct_series(folder: Path, series_uid: str | None = None) -> CTSeries:
    """Read the CT series below ``folder``, or the one named ``series_uid`` where there are several.

    Raises:
        BadInput: no CT, several without a choice, or one that is no regular stack of readable slices.
    """
    found = find_series(folder)
    scans = [series for series in found if series.modality == "CT"]
    if not scans:
        others = ", ".join(sorted({series.modality for series in found})) or "no DICOM file at all"
        raise BadInput(
            f"There is no CT in {folder} (found: {others}); expected a folder with the slices of a CT series."
        )
    listed = "; ".join(f"{s.series_uid} ({len(s.files)} slices, “{s.description[:40]}”)" for s in scans)
    if series_uid is None and len(scans) > 1:
        raise BadInput(f"{folder} holds {len(scans)} CT series: {listed}; choose one with --series UID.")
    chosen = [series for series in scans if series_uid in (None, series.series_uid)]
    if not chosen:
        raise BadInput(
            f"{folder} has no CT series {series_uid}; it holds {listed}: choose one of these with --series UID."
        )
    return read_ct_files(chosen[0].files)


def read_ct_files(files: Sequence[Path]) -> CTSeries:
    """Read the slices of one CT series, given in any order, as :func:`find_series` found them.

    Raises:
        BadInput: where they are no regular stack of readable CT slices of one series.
    """
    if not files:
        raise ValueError("a CT series has files")
    with lenient():
        headers = [_read_header(Path(path)) or Dataset() for path in files]
        where = f"The CT series in {Path(files[0]).parent}"
        for keyword in ("SeriesInstanceUID", "FrameOfReferenceUID"):
            if len({header.get(keyword) for header in headers}) > 1:
                raise BadInput(
                    f"{where} has several values of {keyword}; expected one: put each series into its own folder."
                )
        planes = [_plane(header, path) for header, path in zip(headers, files, strict=True)]
        geometry, order = geometry_of_slices(planes, where)
        headers = [headers[i] for i in order]
        files = tuple(Path(files[i]) for i in order)
        array = _hounsfield_units(headers, files, geometry.shape)
        return CTSeries(
            volume=Volume(array, geometry),
            series_uid=str(headers[0].get("SeriesInstanceUID", "")),
            study_uid=str(headers[0].get("StudyInstanceUID", "")),
            frame_of_reference_uid=str(headers[0].get("FrameOfReferenceUID", "")),
            patient_id=str(headers[0].get("PatientID", "")),
            sop_instance_uids=tuple(str(header.get("SOPInstanceUID", "")) for header in headers),
            files=files,
        )


def _read_header(path: Path) -> Dataset | None:
    """What we need of a DICOM file's header; None where the file is no DICOM (PS3.10 7.1) or has no modality."""
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return None
        file.seek(0)
        try:
            header = read_partial(file, stop_when=_is_past_header, specific_tags=list(_HEADER))
            for keyword in ("SOPClassUID", "SOPInstanceUID"):  # some anonymisers empty them but keep the file's own
                if not header.get(keyword):
                    setattr(header, keyword, header.file_meta.get(f"MediaStorage{keyword}", ""))
            own_class = header.file_meta.get("MediaStorageSOPClassUID")
            if not header.get("Modality") and own_class in (CT_IMAGE, RT_STRUCTURE_SET):
                raise ValueError("an image or structure set without a modality")
            return header if header.get("Modality") else None
        except Exception as error:  # pydicom raises anything at all on damaged bytes
            raise BadInput(f"{path} can't be parsed as DICOM, it is damaged or cut short; export it again.") from error


def _is_past_header(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >= 0x30000000


def _kind(header: Dataset) -> str:
    modality = str(header.Modality)
    if modality != "CT":
        return modality
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return "CT LOCALIZER"
    sop_class = UID(str(header.get("SOPClassUID", "")))
    return "CT" if sop_class == CT_IMAGE else f"CT ({sop_class.name})"


def _plane(header: Dataset, path: Path) -> SlicePlane:
    position = _numbers(header, "ImagePositionPatient", 3, path)
    spacing = _numbers(header, "PixelSpacing", 2, path)
    if min(spacing) <= 0:
        raise BadInput(f"{path} has a PixelSpacing of {spacing}; expected two positive lengths in mm: export it again.")
    return SlicePlane(
        position=(position[0], position[1], position[2]),
        orientation=_numbers(header, "ImageOrientationPatient", 6, path),
        spacing=(spacing[0], spacing[1]),
        size=(int(header.get("Rows") or 0), int(header.get("Columns") or 0)),
    )


def _numbers(header: Dataset, keyword: str, count: int, path: Path) -> tuple[float, ...]:
    """A header's value as ``count`` finite numbers."""
    try:
        found: Any = header[keyword].value
        values = tuple(float(value) for value in (found if isinstance(found, Iterable) else [found]))
    except (KeyError, TypeError, ValueError):
        values = ()
    if len(values) != count or not np.isfinite(values).all():
        raise BadInput(f"{path} has no usable {keyword}; expected {count} number(s): export the CT series again.")
    return values


def _hounsfield_units(headers: list[Dataset], files: Sequence[Path], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The voxels in HU (z, y, x): each slice by its own rescale, padding and whatever is below air as air."""
    rescales = [
        (_numbers(header, "RescaleSlope", 1, path)[0], _numbers(header, "RescaleIntercept", 1, path)[0])
        for header, path in zip(headers, files, strict=True)
    ]
    whole = all(value.is_integer() for rescale in rescales for value in rescale)
    volume = np.empty(shape, np.int16 if whole else np.float32)
    for header, path, (slope, intercept), target in zip(headers, files, rescales, volume, strict=True):
        stored = _stored_values(path, target.shape)
        values = stored * np.float32(slope) + np.float32(intercept)
        if header.get("PixelPaddingValue") is not None:
            ends = [header.PixelPaddingValue, header.get("PixelPaddingRangeLimit")]
            padding = [int(end) for end in ends if end is not None]
            values[(stored >= min(padding)) & (stored <= max(padding))] = AIR
        target[...] = np.clip(values, AIR, np.iinfo(np.int16).max)
    return volume


def _stored_values(path: Path, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    try:
        stored: npt.NDArray[Any] = pixel_array(path, raw=True)
    except Exception as error:  # the decoders of pydicom and its plugins raise anything at all
        raise BadInput(
            f"The pixels of {path} can't be decoded ({type(error).__name__}: damaged, or an unsupported "
            "compression); export the series uncompressed."
        ) from error
    if stored.shape != shape:
        raise BadInput(
            f"{path} holds pixels of shape {stored.shape}; expected one grey slice of {shape}: export it again."
        )
    return stored
