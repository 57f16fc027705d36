"""CT series from DICOM files."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from gynbtnet.errors import BadInput
from gynbtnet.imaging.ct_images import CTImage, image_from, matrix_of
from gynbtnet.imaging.dicom_objects import MULTI_FRAME_CT, read_object, reading, uid
from gynbtnet.imaging.dicom_series import FoundSeries, complete_uids, search_series
from gynbtnet.imaging.dicomdir import is_directory_file
from gynbtnet.imaging.enhanced_ct import frames_of
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.incomplete_series import NOTE, completeness
from gynbtnet.imaging.rtstruct_reference import read_reference
from gynbtnet.imaging.series_choice import choose_ct
from gynbtnet.imaging.slice_geometry import Stack, stack_slices
from gynbtnet.imaging.slice_repairs import Repairs, interpolated, shifted
from gynbtnet.imaging.stored_pixels import stored_pixels
from gynbtnet.imaging.volume import Volume
from gynbtnet.progress import track

_MANY_FILES = 400  # about two seconds of slices


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

    def check_referable(self) -> None:
        """Raise BadInput where the UIDs that an object drawn on this CT must refer to are not all there."""
        own = (self.series_uid, self.study_uid, self.frame_of_reference_uid)
        if not all((*own, *(one.sop_instance_uid for one in self.slices))):
            raise BadInput(
                f"The CT in {self.files[0].parent} lacks UIDs (of study, series, frame of reference or slices) that "
                "contours must refer to; anonymise it by replacing UIDs, not by emptying them."
            )

    @property
    def is_mended(self) -> bool:
        """Whether planes of the volume were interpolated between slices."""
        return [one.z for one in self.slices] != list(range(self.volume.geometry.shape[0]))

    def slice_at(self, z: float) -> int:
        """The number of the slice nearest to a place along the volume's z, in slices."""
        return int(np.abs(np.asarray([one.z for one in self.slices]) - z).argmin())

    def on_planes(self, by_slice: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array with one plane a slice, (slices, y, x), as one with a plane for each of the volume's, (z, y, x).

        They are the same, but where the volume was mended: there each plane is that of the slice nearest to it.
        """
        if not self.is_mended:
            return by_slice
        return by_slice[[self.slice_at(z) for z in range(self.volume.geometry.shape[0])]]

    @property
    def slice_grid(self) -> Geometry:
        """A grid with one plane a slice; of a mended volume right within slices, not along z."""
        geometry = self.volume.geometry
        return replace(geometry, shape=(len(self.slices), *geometry.shape[1:]))


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
    series, note = chosen_series(folder, series_uid, referred_uid=referred_uid)
    ct = read_ct_files(series.files, repairs)
    return replace(ct, notes=(note, *ct.notes)) if note else ct


def chosen_series(
    folder: Path, series_uid: str | None = None, *, referred_uid: str | None = None
) -> tuple[FoundSeries, str | None]:
    """The series that :func:`read_ct_series` reads, and a sentence on the others where size decided.

    A damaged file that may be a slice of the series is an error, as is a damaged DICOMDIR, which may name files that
    are missing. Another damaged file is not.
    """
    search = search_series(folder)
    judged = completeness(search)
    found = list(search.series)
    directories = [one for one in search.damaged if is_directory_file(one.path)]
    if search.damaged and (directories or not any(one.modality == "CT" for one in found)):
        raise BadInput((directories or search.damaged)[0].reason)
    if series_uid is None and referred_uid is None and sum(series.modality == "CT" for series in found) > 1:
        drawn = drawn_on(found)
        referred_uid = drawn.pop() if len(drawn) == 1 else None
    chosen, note = choose_ct(found, str(folder), series_uid=series_uid, referred_uid=referred_uid)
    if chosen in judged.incomplete:
        raise BadInput(judged.incomplete[chosen].reason)
    doubt = [NOTE] if chosen in judged.doubtful else []
    return chosen, " ".join([*([note] if note else []), *doubt]) or None


def drawn_on(found: Sequence[FoundSeries]) -> set[str]:
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
    headers, images = _read_images([Path(file) for file in files], where)
    images, doubled = _without_doubles(images)
    stack = stack_slices([image.plane for image in images], where, repairs or Repairs())
    images = [images[i] for i in stack.order]
    volume = Volume(_hounsfield_units(images, stack), stack.geometry)
    with reading(Path(files[0])):
        return CTSeries(
            volume=volume,
            series_uid=uid(headers, "SeriesInstanceUID"),
            study_uid=uid(headers, "StudyInstanceUID"),
            frame_of_reference_uid=uid(headers, "FrameOfReferenceUID"),
            patient_id=str(headers.get("PatientID", "")),
            slices=tuple(
                CTSlice(image.sop_class_uid, image.sop_instance_uid, image.file, float(z), image.frame)
                for image, z in zip(images, stack.z, strict=True)
            ),
            notes=(*doubled, *stack.notes),
        )


def _read_images(files: Sequence[Path], where: str) -> tuple[Dataset, list[CTImage]]:
    """The first header, and every image in the files."""
    first: Dataset | None = None
    images: list[CTImage] = []
    for path in track(files, "Reading slices") if len(files) > _MANY_FILES else files:
        with reading(path):
            dataset = read_object(path, "a CT slice")
            complete_uids(dataset)
            first = first or dataset
            for keyword in ("SeriesInstanceUID", "FrameOfReferenceUID"):
                if dataset.get(keyword) != first.get(keyword):
                    raise BadInput(
                        f"{where} has several values of {keyword}; expected one: put each series into its own folder."
                    )
            if dataset.get("SOPClassUID") in MULTI_FRAME_CT:
                images += frames_of(dataset, path)
            else:
                images.append(image_from(dataset, stored_pixels(dataset, matrix_of(dataset, path), path), path))
    assert first is not None
    return first, images


def _without_doubles(images: Sequence[CTImage]) -> tuple[list[CTImage], tuple[str, ...]]:
    """The images without copies: the same pixels at the same place."""
    kept: dict[tuple[object, ...], list[CTImage]] = {}
    for image in images:
        alike = kept.setdefault((image.plane.position, image.plane.orientation), [])
        if not any(image.same_pixels(other) for other in alike):
            alike.append(image)
    rest = [image for alike in kept.values() for image in alike]
    dropped = len(images) - len(rest)
    return rest, (f"Dropped {dropped} slice(s) that were there twice, with the same pixels.",) if dropped else ()


def _hounsfield_units(images: Sequence[CTImage], stack: Stack) -> npt.NDArray[Any]:
    """The voxels in HU (z, y, x)."""
    kind = np.int16 if all(image.is_whole for image in images) else np.float32
    slices = np.empty((len(images), *stack.geometry.shape[1:]), kind)
    for image, target in zip(images, slices, strict=True):
        image.write_hounsfield_units(target)
    if stack.beside.any():
        slices = shifted(slices, stack.beside)
    count = stack.geometry.shape[0]
    return slices if np.array_equal(stack.z, np.arange(count)) else interpolated(slices, stack.z, count)
