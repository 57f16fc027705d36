"""CT series from DICOM files."""

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
from gynbtnet.imaging.dicom.ct_slice import LARGEST_HU, CTImage, matrix_size, read_ct_image
from gynbtnet.imaging.dicom.dicomdir import is_directory_file
from gynbtnet.imaging.dicom.enhanced_ct import split_frames
from gynbtnet.imaging.dicom.incomplete_series import NOTE, assess_completeness
from gynbtnet.imaging.dicom.objects import MULTI_FRAME_CT, dicom_errors_as_bad_input, read_object, uid_value
from gynbtnet.imaging.dicom.pixel_data import decode_pixels, has_top_bit
from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
from gynbtnet.imaging.dicom.series import FoundSeries, complete_uids, search_series
from gynbtnet.imaging.dicom.series_selection import select_ct
from gynbtnet.imaging.dicom.slice_geometry import Stack, stack_slices
from gynbtnet.imaging.dicom.slice_repairs import Repairs, interpolate_slices, shift_slices
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.plausible_grid import check_grid
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import FloatArray, Mask
from gynbtnet.runtime.available_memory import check_memory
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.progress import track

_BYTES_A_VOXEL = 4  # in HU, of which a rescale may make floats
_MANY_FILES = 400  # about two seconds of slices

SAME_PLACE = 0.099
"""mm within which two slices with the same pixels are copies; slices that are farther apart have a spacing."""

MOST_TISSUE_PADDED = 0.05
"""Share of the tissue that may be padding; more is body that a converter declared as padding."""

MOST_BEYOND_RANGE = 0.01
"""Share of all voxels that may be above the largest HU; a few are metal."""


@dataclass(frozen=True)
class CTSlice:
    """One image of a CT, to which a contour drawn on it refers.

    Attributes:
        z: position along the volume's z, in slices. A whole number unless the spacing was repaired.
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
        is_shifted: whether slices were shifted within their planes, so that voxels are not where the images have them.
    """

    volume: Volume
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient_id: str
    slices: tuple[CTSlice, ...]
    notes: tuple[str, ...] = ()
    is_shifted: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the slices, each once."""
        return tuple(dict.fromkeys(slice.file for slice in self.slices))

    def check_referable(self, *, slices: bool = True) -> None:
        """Raise BadInput if the UIDs that an object on this CT must refer to are absent or ambiguous.

        Args:
            slices: whether the object refers to single slices, as contours do and a dose doesn't.
        """
        own = (self.series_uid, self.study_uid, self.frame_of_reference_uid)
        if not all((*own, *(one.sop_instance_uid for one in self.slices))):
            raise BadInput(
                f"The CT in {self.files[0].parent} lacks UIDs (of study, series, frame of reference or slices) that "
                "contours must refer to; anonymise it by replacing UIDs, not by emptying them."
            )
        shared = _sharing([(one.sop_instance_uid, one.frame) for one in self.slices])
        if shared and slices:
            raise BadInput(
                f"The CT in {self.files[0].parent} has {shared} slices that share a SOPInstanceUID with another, so "
                "that contours can't refer to one of them; anonymise it with a new UID for each slice."
            )

    @property
    def is_mended(self) -> bool:
        """Whether planes of the volume were interpolated between slices."""
        return [one.z for one in self.slices] != list(range(self.volume.geometry.shape[0]))

    @cached_property
    def places(self) -> FloatArray:
        """Where structures may be drawn, ascending along the volume's z, in slices.

        These are the scanned slices and, of a repaired volume, the interpolated planes that lie over half a slice from
        each: contours were drawn there if the planning system had the missing slice.
        """
        scanned = np.asarray([one.z for one in self.slices])
        planes = np.arange(self.volume.geometry.shape[0], dtype=float)
        apart = np.abs(planes[:, None] - scanned).min(axis=1) > 0.5
        return np.sort(np.concatenate([scanned, planes[apart]]))

    @cached_property
    def scanned(self) -> Mask:
        """Which of the places are scanned slices; the others are interpolated planes."""
        return np.isin(self.places, [one.z for one in self.slices])

    def slice_at(self, z: float) -> int:
        """The number of the place nearest to a position along the volume's z, in slices; see :attr:`places`."""
        return int(np.abs(self.places - z).argmin())

    def on_planes(self, by_place: Mask) -> Mask:
        """A mask with one plane per place, (places, y, x), as one with a plane for each of the volume's, (z, y, x).

        They are the same unless the volume was repaired. Then each plane has the shape at its own position, by
        :func:`~gynbtnet.imaging.contours.shape_interpolation.interpolate_shapes` between the scanned slices and the
        other places on which something is drawn.
        """
        if not self.is_mended:
            return by_place
        known = self.scanned | by_place.any(axis=(1, 2))
        planes = np.arange(self.volume.geometry.shape[0], dtype=float)
        return interpolate_shapes(by_place[known], self.places[known], planes, self.volume.geometry.spacing)

    def on_slices(self, mask: Mask) -> Mask:
        """A mask on the volume's grid, (z, y, x), as one with a plane for each scanned slice, (slices, y, x)."""
        if not self.is_mended:
            return mask
        planes, slices = np.arange(len(mask), dtype=float), np.asarray([one.z for one in self.slices])
        return interpolate_shapes(mask, planes, slices, self.volume.geometry.spacing)

    @property
    def slice_grid(self) -> Geometry:
        """A grid with one plane per place; of a repaired volume right within slices, not along z."""
        return self._stacked(len(self.places))

    @property
    def scanned_grid(self) -> Geometry:
        """A grid with one plane per scanned slice; of a repaired volume right within slices, not along z."""
        return self._stacked(len(self.slices))

    def _stacked(self, planes: int) -> Geometry:
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
        folder: searched with everything below.
        series_uid: which series to read where there are several. Left out it is the one that contours refer to, or
            else the largest axial one, with a note.
        repairs: which flaws to mend instead of refusing the series.
        referred_uid: the series that contours refer to; left out, those in the folder say it where they agree.

    Raises:
        BadInput: no CT, not the one named, or one that is no regular stack of readable slices.
    """
    series, note = select_series(folder, series_uid, referred_uid=referred_uid)
    ct = read_ct_files(series.files, repairs)
    return replace(ct, notes=(note, *ct.notes)) if note else ct


def select_series(
    folder: Path, series_uid: str | None = None, *, referred_uid: str | None = None
) -> tuple[FoundSeries, str | None]:
    """The series that :func:`read_ct_series` reads, and a sentence on the others where size decided.

    A damaged file that may be a slice of the series is an error, as is a damaged DICOMDIR, which may name files that
    are missing. Another damaged file is not.
    """
    search = search_series(folder)
    judged = assess_completeness(search)
    found = list(search.series)
    directories = [one for one in search.damaged if is_directory_file(one.path)]
    if search.damaged and (directories or not any(one.modality == "CT" for one in found)):
        raise BadInput((directories or search.damaged)[0].reason)
    if series_uid is None and referred_uid is None and sum(series.modality == "CT" for series in found) > 1:
        drawn = contoured_series(found) & {series.series_uid for series in found if series.modality == "CT"}
        referred_uid = drawn.pop() if len(drawn) == 1 else None
    chosen, note = select_ct(found, str(folder), series_uid=series_uid, referred_uid=referred_uid)
    if chosen in judged.incomplete:
        raise BadInput(judged.incomplete[chosen].reason)
    doubt = [NOTE] if chosen in judged.doubtful else []
    return chosen, " ".join([*([note] if note else []), *doubt]) or None


def contoured_series(found: Sequence[FoundSeries]) -> set[str]:
    """UIDs of the series that structure sets among ``found`` refer to.

    A structure set that can't be read says nothing.
    """
    uids: set[str] = set()
    for path in (path for series in found for path in series.files if series.modality == "RTSTRUCT"):
        with suppress(BadInput):
            uids.add(read_reference(path).series_uid)
    return uids


def read_ct_files(files: Sequence[Path], repairs: Repairs | None = None) -> CTSeries:
    """Read the slices of one CT series, given in any order, as :func:`find_series` found them.

    Args:
        files: of the series, each with one image, or with many.
        repairs: which flaws to mend instead of refusing the series.

    Raises:
        BadInput: where they are no regular stack of readable CT slices of one series.
    """
    if not files:
        raise ValueError("a CT series has files")
    where = f"The CT series in {Path(files[0]).parent}"
    headers, images, unsigned = _read_images([Path(file) for file in files], where)
    images, doubled = _without_doubles(images)
    _check_padding(images, where)
    _check_range(images, where)
    stack = stack_slices(
        [image.plane for image in images], where, repairs or Repairs(), [str(image.file) for image in images]
    )
    check_grid(stack.geometry, where)
    check_memory(
        prod(stack.geometry.shape) * _BYTES_A_VOXEL,
        f"{where} with its {'×'.join(map(str, stack.geometry.shape))} voxels (z, y, x)",
        "take a machine with more memory",
    )
    images = [images[i] for i in stack.order]
    volume = Volume(_hounsfield_units(images, stack), stack.geometry)
    with dicom_errors_as_bad_input(Path(files[0])):
        return CTSeries(
            volume=volume,
            series_uid=uid_value(headers, "SeriesInstanceUID"),
            study_uid=uid_value(headers, "StudyInstanceUID"),
            frame_of_reference_uid=uid_value(headers, "FrameOfReferenceUID"),
            patient_id=str(headers.get("PatientID", "")),
            slices=tuple(
                CTSlice(image.sop_class_uid, image.sop_instance_uid, image.file, float(z), image.frame)
                for image, z in zip(images, stack.z, strict=True)
            ),
            notes=(*unsigned, *doubled, *_shared_uids(images), *stack.notes),
            is_shifted=bool(stack.beside.any()),
        )


def _read_images(files: Sequence[Path], where: str) -> tuple[Dataset, list[CTImage], tuple[str, ...]]:
    """The first header, every image in the files, and a note if any doesn't say whether its values have a sign."""
    first: Dataset | None = None
    unsaid = 0
    images: list[CTImage] = []
    for path in track(files, "Reading slices") if len(files) > _MANY_FILES else files:
        with dicom_errors_as_bad_input(path):
            dataset = read_object(path, "a CT slice")
            complete_uids(dataset)
            if first is None:
                rows, columns = matrix_size(dataset, path)
                frames = len(files) * max(1, int(dataset.get("NumberOfFrames") or 1))
                check_memory(
                    frames * rows * columns * (dataset.get("BitsAllocated") or 16) / 8,
                    f"{where} with its {frames}×{rows}×{columns} pixels",
                    "take a machine with more memory",
                )
            first = first or dataset
            if dataset.get("PixelRepresentation") is None:
                unsaid += 1
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
    note = (
        f"{unsaid} of {len(files)} file(s) have no PixelRepresentation; values with the highest bit were read as "
        "negative, all others as they are."
    )
    return first, images, (note,) if unsaid else ()


def _pixel_shape(dataset: Dataset, path: Path) -> tuple[int, ...]:
    """(rows, columns), or (frames, rows, columns)."""
    frames = (len(dataset.PerFrameFunctionalGroupsSequence),) if dataset.get("SOPClassUID") in MULTI_FRAME_CT else ()
    return (*frames, *matrix_size(dataset, path))


def _check_padding(images: Sequence[CTImage], where: str) -> None:
    """Raise BadInput if padding would turn more than ``MOST_TISSUE_PADDED`` of the tissue to air."""
    counts = np.asarray([image.tissue_padded() for image in images])
    padded, tissue = (int(count) for count in counts.sum(axis=0))
    if padded > MOST_TISSUE_PADDED * tissue:
        low, high = next(image.padding for image in images if image.padding)
        values = f"{low}" if low == high else f"{low} to {high}"
        raise BadInput(
            f"{where} declares the stored value(s) {values} as padding (PixelPaddingValue), which are "
            f"{padded / tissue:.0%} of its tissue; expected values outside of the body: remove PixelPaddingValue from "
            "the files, or export them again."
        )


def _check_range(images: Sequence[CTImage], where: str) -> None:
    """Raise BadInput if more voxels than ``MOST_BEYOND_RANGE`` have values that no tissue or metal has."""
    beyond, voxels = sum(image.beyond_range() for image in images), sum(image.stored.size for image in images)
    if beyond > MOST_BEYOND_RANGE * voxels:
        raise BadInput(
            f"{where} has {beyond / voxels:.0%} of its voxels above {LARGEST_HU} HU; expected HU: its values are "
            "probably negative and marked as unsigned (PixelRepresentation 0), export it again."
        )


def _shared_uids(images: Sequence[CTImage]) -> tuple[str, ...]:
    """A note if images share a SOPInstanceUID."""
    shared = _sharing([(image.sop_instance_uid, image.frame) for image in images])
    if not shared:
        return ()
    note = (
        f"{shared} slices share a SOPInstanceUID with another, so that no RTSTRUCT or SEG can be written on the scan."
    )
    return (note,)


def _sharing(identities: Sequence[tuple[str, int | None]]) -> int:
    """How many images have an identity that another one has too; empty UIDs don't count."""
    counts = Counter(one for one in identities if one[0])
    return sum(count for count in counts.values() if count > 1)


def _without_doubles(images: Sequence[CTImage]) -> tuple[list[CTImage], tuple[str, ...]]:
    """The images without copies: the same pixels at the same place, which exporters round differently."""
    places = np.asarray([image.plane.position for image in images])
    near = KDTree(places).query_ball_point(places, SAME_PLACE)
    dropped: set[int] = set()
    for number, image in enumerate(images):
        earlier = (images[other] for other in near[number] if other < number and other not in dropped)
        if any(_is_parallel(image, other) and image.same_pixels(other) for other in earlier):
            dropped.add(number)
    rest = [image for number, image in enumerate(images) if number not in dropped]
    return rest, (f"Dropped {len(dropped)} slice(s) that were there twice, with the same pixels.",) if dropped else ()


def _is_parallel(image: CTImage, other: CTImage) -> bool:
    return np.allclose(image.plane.orientation, other.plane.orientation, atol=1e-3)


def _hounsfield_units(images: Sequence[CTImage], stack: Stack) -> npt.NDArray[Any]:
    """The voxels in HU (z, y, x)."""
    kind = np.int16 if all(image.is_whole for image in images) else np.float32
    slices = np.empty((len(images), *stack.geometry.shape[1:]), kind)
    for image, target in zip(images, slices, strict=True):
        image.write_hounsfield_units(target)
    if stack.beside.any():
        slices = shift_slices(slices, stack.beside)
    count = stack.geometry.shape[0]
    return slices if np.array_equal(stack.z, np.arange(count)) else interpolate_slices(slices, stack.z, count)
