"""Reading of CT series from DICOM files."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from scipy.spatial import KDTree

from gynbtnet.imaging.contours.shape_interpolation import interpolate_shapes
from gynbtnet.imaging.dicom.ct_slice import MAX_HU, CTImage, matrix_size, read_ct_image
from gynbtnet.imaging.dicom.dicomdir import is_dicomdir
from gynbtnet.imaging.dicom.enhanced_ct import split_frames
from gynbtnet.imaging.dicom.incomplete_series import POSSIBLY_SHORTER, assess_completeness
from gynbtnet.imaging.dicom.objects import MULTI_FRAME_CT, dicom_errors_as_bad_input, read_object, uid_value
from gynbtnet.imaging.dicom.pixel_data import decode_pixels, has_top_bit
from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
from gynbtnet.imaging.dicom.series import FoundSeries, emptied_uids, search_series
from gynbtnet.imaging.dicom.series_identity import SeriesIdentity, common_identity
from gynbtnet.imaging.dicom.series_selection import select_ct
from gynbtnet.imaging.dicom.slice_geometry import Stack, stack_slices
from gynbtnet.imaging.dicom.slice_repairs import Repairs, interpolate_slices, shift_slices
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.plausible_grid import check_grid
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import FloatArray, Mask
from gynbtnet.runtime.available_memory import check_memory
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import by_axis
from gynbtnet.runtime.progress import track

_BYTES_PER_VOXEL = 4  # HU may become float32
_MANY_FILES = 400  # reading their slices takes about two seconds

SAME_POSITION_MM = 0.099
"""Distance up to which two slices with the same pixels are copies; slices farther apart have a spacing."""

MAX_TISSUE_PADDED = 0.05
"""Maximum share of the tissue that may be padding; more is body that a converter declared as padding."""

MAX_BEYOND_RANGE = 0.01
"""Maximum share of voxels above ``MAX_HU``; a few are metal."""


@dataclass(frozen=True)
class CTSlice:
    """One CT image, as contours on it refer to it.

    Attributes:
        sop_class_uid: the SOPClassUID.
        sop_instance_uid: the SOPInstanceUID.
        file: file that contains the image.
        z: position along the volume's z, in planes. A whole number unless the spacing was repaired.
        frame: frame number in a multi-frame object, from 1; None if the object is a single image.
    """

    sop_class_uid: str
    sop_instance_uid: str
    file: Path
    z: float
    frame: int | None = None


@dataclass(frozen=True, repr=False)
class CTSeries:
    """A CT scan, with the identifiers that DICOM objects on it refer to.

    Attributes:
        volume: HU as int16, or float32 if a rescale slope isn't a whole number; z along the slice normal.
        series_uid: the SeriesInstanceUID.
        study_uid: the StudyInstanceUID.
        frame_of_reference_uid: the FrameOfReferenceUID.
        patient_id: the PatientID without spaces around it.
        slices: the scanned images, in the order of z.
        notes: a sentence for each choice, each dropped slice and each repair.
        is_shifted: True if slices were shifted within their planes, so that voxels and images differ in position.
    """

    volume: Volume
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient_id: str
    slices: tuple[CTSlice, ...]
    notes: tuple[str, ...] = ()
    is_shifted: bool = False

    def __repr__(self) -> str:
        """Return size and spacing without identifiers, since a notebook or a log may show it."""
        size = by_axis(self.volume.array.shape)
        return f"CTSeries({size} voxels of {by_axis(self.volume.geometry.spacing, 3)} mm, {len(self.slices)} slices)"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that contain the slices, each once."""
        return tuple(dict.fromkeys(slice.file for slice in self.slices))

    def check_referable(self, *, slices: bool = True) -> None:
        """Check that the UIDs to which an object on this CT must refer exist and are unique.

        Args:
            slices: whether the object refers to single slices; contours do, a dose doesn't.

        Raises:
            BadInput: If a UID is absent, or slices share one.
        """
        uids = (self.series_uid, self.study_uid, self.frame_of_reference_uid)
        if not all((*uids, *(image.sop_instance_uid for image in self.slices))):
            raise BadInput(
                f"The CT in {self.files[0].parent} lacks UIDs of study, series, frame of reference or slices, which "
                "contours must refer to. Anonymise it by replacing UIDs, not by emptying them."
            )
        shared = _count_shared([(image.sop_instance_uid, image.frame) for image in self.slices])
        if shared and slices:
            raise BadInput(
                f"The CT in {self.files[0].parent} has {shared} slices that share a SOPInstanceUID with another, so "
                "contours can't refer to one of them. Anonymise it with a new UID for each slice."
            )

    @property
    def is_repaired(self) -> bool:
        """Return True if planes of the volume were interpolated between slices."""
        return [image.z for image in self.slices] != list(range(self.volume.geometry.shape[0]))

    @cached_property
    def slice_positions(self) -> FloatArray:
        """Positions of slices with possible contours, ascending along the volume's z, in planes.

        These are the scanned slices and, in a repaired volume, the interpolated planes that are more than half a plane
        away from all of them. Contours exist there if the planning system had the missing slice.
        """
        scanned = np.asarray([image.z for image in self.slices])
        planes = np.arange(self.volume.geometry.shape[0], dtype=float)
        is_far = np.abs(planes[:, None] - scanned).min(axis=1) > 0.5
        return np.sort(np.concatenate([scanned, planes[is_far]]))

    @cached_property
    def scanned(self) -> Mask:
        """Mask (positions,) of the slice positions that were scanned; the others are interpolated planes."""
        return np.isin(self.slice_positions, [image.z for image in self.slices])

    def nearest_slice(self, z: float) -> int:
        """Return the index of the slice position nearest to ``z``, see :attr:`slice_positions`."""
        return int(np.abs(self.slice_positions - z).argmin())

    def mask_on_planes(self, mask: Mask) -> Mask:
        """Resample a mask from the slice positions to the planes of the volume.

        Both are the same unless the volume was repaired. Then each plane has the shape at its own position, by
        :func:`~gynbtnet.imaging.contours.shape_interpolation.interpolate_shapes` between the scanned slices and the
        other positions with contours.

        Args:
            mask: (positions, y, x), one plane per slice position.

        Returns:
            Mask on the volume's grid, (z, y, x).
        """
        if not self.is_repaired:
            return mask
        known = self.scanned | mask.any(axis=(1, 2))
        planes = np.arange(self.volume.geometry.shape[0], dtype=float)
        return interpolate_shapes(mask[known], self.slice_positions[known], planes, self.volume.geometry.spacing)

    def mask_on_slices(self, mask: Mask) -> Mask:
        """Resample a mask from the planes of the volume to the scanned slices.

        Args:
            mask: on the volume's grid, (z, y, x).

        Returns:
            Mask (slices, y, x), one plane per scanned slice.
        """
        if not self.is_repaired:
            return mask
        planes, slices = np.arange(len(mask), dtype=float), np.asarray([image.z for image in self.slices])
        return interpolate_shapes(mask, planes, slices, self.volume.geometry.spacing)

    @property
    def slice_grid(self) -> Geometry:
        """Grid with one plane per slice position; in a repaired volume correct within slices, not along z."""
        return self._grid_of(len(self.slice_positions))

    @property
    def scanned_grid(self) -> Geometry:
        """Grid with one plane per scanned slice; in a repaired volume correct within slices, not along z."""
        return self._grid_of(len(self.slices))

    def _grid_of(self, planes: int) -> Geometry:
        geometry = self.volume.geometry
        return replace(geometry, shape=(planes, *geometry.shape[1:]))


def read_ct_series(
    folder: Path,
    series_uid: str | None = None,
    repairs: Repairs | None = None,
    *,
    referred_uid: str | None = None,
) -> CTSeries:
    """Read the CT series below ``folder``.

    Args:
        folder: folder, searched with its sub-folders.
        series_uid: SeriesInstanceUID of the series to read. By default the series that contours refer to, otherwise
            the largest axial one, with a note.
        repairs: faults that are repaired instead of refused.
        referred_uid: the series that contours refer to. By default that of the structure sets in the folder, if they
            agree.

    Returns:
        The scan in HU, its identifiers and notes about choices and repairs.

    Raises:
        BadInput: If there is no CT, the requested series doesn't exist, or it isn't a regular stack of readable slices.

    Example:
        >>> ct = read_ct_series(export / "PHANTOM-001" / "fraction-1")
        >>> ct.volume.geometry.shape, ct.volume.geometry.spacing
        ((16, 32, 40), (12.0, 10.0, 10.0))
    """
    series, note = select_series(folder, series_uid, referred_uid=referred_uid)
    ct = read_ct_files(series.files, repairs)
    return replace(ct, notes=(note, *ct.notes)) if note else ct


def select_series(
    folder: Path, series_uid: str | None = None, *, referred_uid: str | None = None
) -> tuple[FoundSeries, str | None]:
    """Select the series that :func:`read_ct_series` reads.

    Returns:
        The series, and a sentence on the others if the size decided.

    Raises:
        BadInput: As :func:`read_ct_series`. Also if a damaged file may be a slice of the series, or a DICOMDIR is
            damaged, since it may list files that are missing. Other damaged files are ignored.
    """
    search = search_series(folder)
    completeness = assess_completeness(search)
    all_series = list(search.series)
    directories = [file for file in search.damaged if is_dicomdir(file.path)]
    if search.damaged and (directories or not any(series.modality == "CT" for series in all_series)):
        raise BadInput((directories or search.damaged)[0].reason)
    if series_uid is None and referred_uid is None and sum(series.modality == "CT" for series in all_series) > 1:
        referred = referenced_series_uids(all_series) & {
            series.series_uid for series in all_series if series.modality == "CT"
        }
        referred_uid = referred.pop() if len(referred) == 1 else None
    chosen, note = select_ct(all_series, str(folder), series_uid=series_uid, referred_uid=referred_uid)
    if chosen in completeness.incomplete:
        raise BadInput(completeness.incomplete[chosen].reason)
    doubt = [POSSIBLY_SHORTER] if chosen in completeness.doubtful else []
    return chosen, " ".join([*([note] if note else []), *doubt]) or None


def referenced_series_uids(all_series: Sequence[FoundSeries]) -> set[str]:
    """Return the UIDs of the series that structure sets among them refer to.

    Structure sets that can't be read are ignored.
    """
    uids: set[str] = set()
    for path in (path for series in all_series for path in series.files if series.modality == "RTSTRUCT"):
        with suppress(BadInput):
            uids.add(read_reference(path).series_uid)
    return uids


def read_ct_files(files: Sequence[Path], repairs: Repairs | None = None) -> CTSeries:
    """Read a CT series from its files, in any order.

    Args:
        files: files of the series, as :func:`~gynbtnet.imaging.dicom.series.find_series` found them, each with one or
            many images.
        repairs: faults that are repaired instead of refused.

    Returns:
        The scan in HU, its identifiers and notes about choices and repairs.

    Raises:
        BadInput: If they aren't a regular stack of readable CT slices of one series and one patient.
        ValueError: If ``files`` is empty.
    """
    if not files:
        raise ValueError("a CT series has files")
    where = f"The CT series in {Path(files[0]).parent}"
    header, identity, images, reading_notes = _read_images([Path(file) for file in files], where)
    images, copy_notes = _without_copies(images)
    _check_padding(images, where)
    _check_range(images, where)
    stack = stack_slices(
        [image.plane for image in images], where, repairs or Repairs(), [str(image.file) for image in images]
    )
    check_grid(stack.geometry, where)
    check_memory(
        prod(stack.geometry.shape) * _BYTES_PER_VOXEL,
        f"{where} with its {'×'.join(map(str, stack.geometry.shape))} voxels (z, y, x)",
        "take a machine with more memory",
    )
    images = [images[i] for i in stack.order]
    volume = Volume(_hounsfield_units(images, stack), stack.geometry)
    with dicom_errors_as_bad_input(Path(files[0])):
        return CTSeries(
            volume=volume,
            series_uid=uid_value(header, "SeriesInstanceUID"),
            study_uid=identity.study_uid,
            frame_of_reference_uid=uid_value(header, "FrameOfReferenceUID"),
            patient_id=identity.patient_id,
            slices=tuple(
                CTSlice(image.sop_class_uid, image.sop_instance_uid, image.file, float(z), image.frame)
                for image, z in zip(images, stack.z, strict=True)
            ),
            notes=(*reading_notes, *copy_notes, *_shared_uids(images), *stack.notes),
            is_shifted=bool(stack.in_plane_shift.any()),
        )


def _read_images(files: Sequence[Path], where: str) -> tuple[Dataset, SeriesIdentity, list[CTImage], tuple[str, ...]]:
    """Return the first header, the patient and study, all images in the files, and notes on the headers."""
    first: Dataset | None = None
    identities: list[SeriesIdentity] = []
    without_sign = 0
    images: list[CTImage] = []
    for path in track(files, "Reading slices") if len(files) > _MANY_FILES else files:
        with dicom_errors_as_bad_input(path):
            dataset = read_object(path, "a CT slice")
            dataset.update(emptied_uids(dataset))
            if first is None:
                rows, columns = matrix_size(dataset, path)
                frames = len(files) * max(1, int(dataset.get("NumberOfFrames") or 1))
                check_memory(
                    frames * rows * columns * (dataset.get("BitsAllocated") or 16) / 8,
                    f"{where} with its {frames}×{rows}×{columns} pixels",
                    "take a machine with more memory",
                )
            first = first or dataset
            identities.append(SeriesIdentity.of(dataset))
            if dataset.get("PixelRepresentation") is None:
                without_sign += 1
                dataset.PixelRepresentation = 0
                dataset.PixelRepresentation = int(has_top_bit(dataset, _pixel_shape(dataset, path), path))
            for keyword in ("SeriesInstanceUID", "FrameOfReferenceUID"):
                if dataset.get(keyword) != first.get(keyword):
                    raise BadInput(
                        f"{where} has several values of {keyword}; expected one: put each series into its own folder."
                    )
            if dataset.get("SOPClassUID") in MULTI_FRAME_CT:
                images += split_frames(dataset, path)
            else:
                images.append(read_ct_image(dataset, decode_pixels(dataset, matrix_size(dataset, path), path), path))
    assert first is not None
    identity, study_notes = common_identity(identities, where)
    note = (
        f"{without_sign} of {len(files)} file(s) have no PixelRepresentation; values with the highest bit were read as "
        "negative, all others unchanged."
    )
    return first, identity, images, (*study_notes, *((note,) if without_sign else ()))


def _pixel_shape(dataset: Dataset, path: Path) -> tuple[int, ...]:
    """Return (rows, columns), or (frames, rows, columns) of a multi-frame object."""
    frames = (len(dataset.PerFrameFunctionalGroupsSequence),) if dataset.get("SOPClassUID") in MULTI_FRAME_CT else ()
    return (*frames, *matrix_size(dataset, path))


def _check_padding(images: Sequence[CTImage], where: str) -> None:
    """Raise BadInput if padding would turn more than ``MAX_TISSUE_PADDED`` of the tissue into air."""
    counts = np.asarray([image.count_padded_tissue() for image in images])
    padded, tissue = (int(count) for count in counts.sum(axis=0))
    if padded > MAX_TISSUE_PADDED * tissue:
        low, high = next(image.padding for image in images if image.padding)
        values = f"{low}" if low == high else f"{low} to {high}"
        raise BadInput(
            f"{where} declares the stored value(s) {values} as padding (PixelPaddingValue), which are "
            f"{padded / tissue:.0%} of its tissue; expected values outside the body. Remove PixelPaddingValue from the "
            "files, or export them again."
        )


def _check_range(images: Sequence[CTImage], where: str) -> None:
    """Raise BadInput if more than ``MAX_BEYOND_RANGE`` of the voxels have values above those of tissue and metal."""
    beyond, voxels = sum(image.count_beyond_range() for image in images), sum(image.stored.size for image in images)
    if beyond > MAX_BEYOND_RANGE * voxels:
        raise BadInput(
            f"{where} has {beyond / voxels:.0%} of its voxels above {MAX_HU} HU; expected HU: its values are "
            "probably negative and marked as unsigned (PixelRepresentation 0), export it again."
        )


def _shared_uids(images: Sequence[CTImage]) -> tuple[str, ...]:
    """Return a note if images share a SOPInstanceUID."""
    shared = _count_shared([(image.sop_instance_uid, image.frame) for image in images])
    if not shared:
        return ()
    note = f"{shared} slices share a SOPInstanceUID with another, so no RTSTRUCT or SEG can be written for the scan."
    return (note,)


def _count_shared(identities: Sequence[tuple[str, int | None]]) -> int:
    """Count the images whose identity (UID, frame) another image has too; empty UIDs don't count."""
    counts = Counter((uid, frame) for uid, frame in identities if uid)
    return sum(count for count in counts.values() if count > 1)


def _without_copies(images: Sequence[CTImage]) -> tuple[list[CTImage], tuple[str, ...]]:
    """Return the images without copies: the same pixels at the same position, which exporters round differently."""
    positions = np.asarray([image.plane.position for image in images])
    near = KDTree(positions).query_ball_point(positions, SAME_POSITION_MM)
    dropped: set[int] = set()
    for number, image in enumerate(images):
        earlier = (images[other] for other in near[number] if other < number and other not in dropped)
        if any(_is_parallel(image, other) and image.has_same_pixels(other) for other in earlier):
            dropped.add(number)
    rest = [image for number, image in enumerate(images) if number not in dropped]
    return rest, (f"Dropped {len(dropped)} duplicate slice(s) with the same pixels.",) if dropped else ()


def _is_parallel(image: CTImage, other: CTImage) -> bool:
    return np.allclose(image.plane.orientation, other.plane.orientation, atol=1e-3)


def _hounsfield_units(images: Sequence[CTImage], stack: Stack) -> npt.NDArray[Any]:
    """Return the voxels in HU (z, y, x)."""
    dtype = np.int16 if all(image.has_integer_hu for image in images) else np.float32
    slices = np.empty((len(images), *stack.geometry.shape[1:]), dtype)
    for target, image in zip(slices, images, strict=True):
        target[...] = image.hounsfield_units()
    if stack.in_plane_shift.any():
        slices = shift_slices(slices, stack.in_plane_shift)
    count = stack.geometry.shape[0]
    return slices if np.array_equal(stack.z, np.arange(count)) else interpolate_slices(slices, stack.z, count)
