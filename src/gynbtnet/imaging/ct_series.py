"""CT series from DICOM files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from gynbtnet.errors import BadInput
from gynbtnet.imaging.dicom_objects import lenient
from gynbtnet.imaging.dicom_series import find_series, read_header
from gynbtnet.imaging.slice_geometry import SlicePlane, geometry_of_slices
from gynbtnet.imaging.volume import Volume

AIR = -1024
"""HU of whatever lies outside a scanner's field of view, and of everything that claims to be thinner than air."""


@dataclass(frozen=True)
class CTSlice:
    """One image of a CT, to which a contour drawn on it refers.

    Attributes:
        z: where it lies along the volume's z, in slices. A whole number, but where the spacing had to be evened out.
        frame: its number in a multi-frame object, from 1; None where the object is a single image.
    """

    sop_class_uid: str
    sop_instance_uid: str
    file: Path
    z: float
    frame: int | None = None


@dataclass(frozen=True)
class CTSeries:
    """A CT scan with what DICOM objects drawn on it must refer to.

    Attributes:
        volume: HU as int16 (float32 where a rescale slope is no whole number); z along the slice normal.
        slices: the images as they were scanned, in the order of z.
        notes: what was dropped or repaired, a sentence each.
    """

    volume: Volume
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient_id: str
    slices: tuple[CTSlice, ...]
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the slices, each once."""
        return tuple(dict.fromkeys(slice.file for slice in self.slices))


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
        headers = [read_header(Path(path)) or Dataset() for path in files]
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
            slices=tuple(
                CTSlice(str(header.get("SOPClassUID", "")), str(header.get("SOPInstanceUID", "")), path, float(z))
                for z, (header, path) in enumerate(zip(headers, files, strict=True))
            ),
        )


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
