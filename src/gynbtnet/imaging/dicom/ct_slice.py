"""Single CT images: header values and pixels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from gynbtnet.imaging.dicom.slice_geometry import SlicePlane
from gynbtnet.imaging.volume import AIR
from gynbtnet.runtime.errors import BadInput

MAX_MATRIX = 4096
"""Maximum number of rows and columns; scanners produce up to 2048."""

_MAX_RESCALE = 1e6
"""Maximum of slope and intercept; more indicates damage."""

HU_RESCALE_TYPES = {"", "HU", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS"}
"""Rescale types in capitals that mean HU; a CT without one is in HU (PS3.3 C.8.2.1.1.2)."""

MAX_HU = int(np.iinfo(np.int16).max)
"""Higher values are clipped to it; metal on an extended scale reaches 31,000."""

TISSUE_HU = (-300, 2000)
"""HU range of soft tissue, fat and bone: the body without air, contrast medium and metal."""


@dataclass(frozen=True, eq=False)
class CTImage:
    """One CT image as stored.

    Attributes:
        file: file that contains the image.
        frame: frame number in a multi-frame object, from 1; None if the object is a single image.
        sop_class_uid: the SOPClassUID.
        sop_instance_uid: the SOPInstanceUID.
        plane: position and orientation.
        stored: pixels as stored, (rows, columns).
        slope: slope of the rescale to HU.
        intercept: intercept of the rescale to HU.
        padding: lowest and highest stored value that means "no measurement"; None if there is none.
    """

    file: Path
    frame: int | None
    sop_class_uid: str
    sop_instance_uid: str
    plane: SlicePlane
    stored: npt.NDArray[Any]
    slope: float
    intercept: float
    padding: tuple[int, int] | None

    def has_same_pixels(self, other: "CTImage") -> bool:
        """Check if both images have equal HU, even if they are stored differently."""
        if self.stored.shape != other.stored.shape:
            return False
        if (self.slope, self.intercept) == (other.slope, other.intercept):
            return np.array_equal(self.stored, other.stored)
        hu, other_hu = (image.stored * np.float64(image.slope) + image.intercept for image in (self, other))
        return np.array_equal(hu, other_hu)

    @property
    def has_integer_hu(self) -> bool:
        """Return True if all HU are whole numbers."""
        return self.slope.is_integer() and self.intercept.is_integer()

    def count_padded_tissue(self) -> tuple[int, int]:
        """Count the tissue voxels that padding turns to air, and all tissue voxels, by HU without the padding."""
        if self.padding is None:
            return 0, 0
        ends = sorted((hu - self.intercept) / self.slope for hu in TISSUE_HU)
        tissue = (self.stored >= ends[0]) & (self.stored <= ends[1])
        padded = (self.stored >= self.padding[0]) & (self.stored <= self.padding[1])
        return int(np.count_nonzero(tissue & padded)), int(np.count_nonzero(tissue))

    def count_beyond_range(self) -> int:
        """Count the voxels above ``MAX_HU`` that are not padding."""
        ends = [float(end) * self.slope + self.intercept for end in (self.stored.min(), self.stored.max())]
        if max(ends) <= MAX_HU:
            return 0
        beyond = self.stored * np.float64(self.slope) + self.intercept > MAX_HU
        if self.padding is not None:
            beyond &= (self.stored < self.padding[0]) | (self.stored > self.padding[1])
        return int(np.count_nonzero(beyond))

    def hounsfield_units(self) -> npt.NDArray[Any]:
        """Return HU (rows, columns); padding and everything below air become air."""
        values: npt.NDArray[Any]
        if not self.has_integer_hu:
            values = self.stored.astype(np.float32) * np.float32(self.slope) + np.float32(self.intercept)
        elif self.slope != 1:
            values = self.stored.astype(np.int64) * int(self.slope) + int(self.intercept)
        else:
            values = self.stored.astype(np.int32)
            values += int(self.intercept)
        if self.padding is not None:
            low, high = self.padding
            values[(self.stored >= low) & (self.stored <= high)] = AIR
        return values.clip(AIR, MAX_HU)


def read_ct_image(
    header: Mapping[str, Any] | Dataset, stored: npt.NDArray[Any], path: Path, frame: int | None = None
) -> CTImage:
    """Return the image that a header describes.

    Args:
        header: header of the image, or the attributes of a frame.
        stored: pixels as stored, (rows, columns).
        path: its file, for messages.
        frame: frame number in a multi-frame object, from 1.

    Raises:
        BadInput: If a value is absent or impossible, or the values are not HU.
    """
    position = number_values(header, "ImagePositionPatient", 3, path)
    orientation = number_values(header, "ImageOrientationPatient", 6, path)
    spacing = number_values(header, "PixelSpacing", 2, path)
    if min(spacing) <= 0:
        raise BadInput(f"{path} has a PixelSpacing of {spacing}; expected two positive lengths in mm: export it again.")
    slope, intercept = (number_values(header, keyword, 1, path)[0] for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope <= 0 or max(slope, abs(intercept)) > _MAX_RESCALE:
        raise BadInput(
            f"{path} has a RescaleSlope of {slope:g} and a RescaleIntercept of {intercept:g}, which don't convert to "
            "HU; export the CT series again."
        )
    kind = rescale_type(header)
    if kind not in HU_RESCALE_TYPES:
        raise BadInput(
            f"{path} has the RescaleType {kind[:16]}, a map of values other than HU; expected HU: export the CT "
            "series itself, or name it with --series."
        )
    rows, columns = stored.shape
    return CTImage(
        file=path,
        frame=frame,
        sop_class_uid=str(header.get("SOPClassUID", "")),
        sop_instance_uid=str(header.get("SOPInstanceUID", "")),
        plane=SlicePlane(
            (position[0], position[1], position[2]), orientation, (spacing[0], spacing[1]), (rows, columns)
        ),
        stored=stored,
        slope=slope,
        intercept=intercept,
        padding=_padding(header, path),
    )


def rescale_type(header: Mapping[str, Any] | Dataset) -> str:
    """Return the RescaleType in capitals; empty if the header has none."""
    element = header.get("RescaleType")
    values = [element] if isinstance(element, str) or element is None else list(element)
    return (
        " ".join(
            "".join(character if character.isprintable() else " " for character in str(value or "")) for value in values
        )
        .strip()
        .upper()
    )


def matrix_size(header: Dataset, path: Path) -> tuple[int, int]:
    """Return the number of rows and columns.

    Raises:
        BadInput: If they are absent or impossible.
    """
    rows, columns = (int(number_values(header, keyword, 1, path)[0]) for keyword in ("Rows", "Columns"))
    if not (1 <= rows <= MAX_MATRIX and 1 <= columns <= MAX_MATRIX):
        raise BadInput(
            f"{path} declares {rows} rows and {columns} columns; expected 1 to {MAX_MATRIX}: export it again."
        )
    return rows, columns


def number_values(header: Mapping[str, Any] | Dataset, keyword: str, count: int, path: Path) -> tuple[float, ...]:
    """Return the values of a header element as ``count`` finite numbers.

    Raises:
        BadInput: If the element is absent or has other values.
    """
    try:
        values = tuple(float(value) for value in _values(header, keyword))
    except (KeyError, TypeError, ValueError, OverflowError):
        values = ()
    if len(values) != count or not all(map(isfinite, values)):
        raise BadInput(f"{path} has no usable {keyword}; expected {count} number(s): export the CT series again.")
    return values


def _values(header: Mapping[str, Any] | Dataset, keyword: str) -> Iterable[Any]:
    """Return the values of a header element; decimal strings stay text, since pydicom's objects double the time."""
    if isinstance(header, Dataset):
        element: object = header.get_item(keyword)
        if isinstance(element, RawDataElement) and dictionary_VR(element.tag) == "DS" and element.value:
            text = bytes(element.value)
            return [] if b"_" in text else text.rstrip(b" \0").split(b"\\")  # Python reads "1_0" as 10
    value: Any = header.get(keyword)
    return value if isinstance(value, Iterable | MultiValue) else [value]


def _padding(header: Mapping[str, Any] | Dataset, path: Path) -> tuple[int, int] | None:
    """Return the lowest and the highest padding value; None if the header declares none."""
    if header.get("PixelPaddingValue") is None:
        return None
    values: list[int] = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = header.get(keyword)
        try:
            values += [] if value is None else [int(value)]
        except (TypeError, ValueError) as error:
            raise BadInput(
                f"{path} has no usable {keyword}; expected one whole number: remove it from the files, or export them "
                "again."
            ) from error
    return min(values), max(values)
