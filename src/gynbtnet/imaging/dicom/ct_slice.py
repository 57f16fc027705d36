"""Single images of a CT: what their headers say, and their pixels."""

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

LARGEST_MATRIX = 4096
"""Rows and columns of an image; scanners make up to 2048."""

_LARGEST_RESCALE = 1e6
"""Of slope and intercept; more is damage."""

HOUNSFIELD = {"", "HU", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS"}
"""Rescale types in capitals that mean HU; a CT that names none is in HU (PS3.3 C.8.2.1.1.2)."""

LARGEST_HU = int(np.iinfo(np.int16).max)
"""What is above is cut to it; metal on an extended scale reaches 31,000."""

TISSUE = (-300, 2000)
"""HU of soft tissue, fat and bone: the body without its air, contrast medium and metal."""


@dataclass(frozen=True, eq=False)
class CTImage:
    """One image as it lies on disk.

    Attributes:
        frame: its number in a multi-frame object, from 1; None where the object is a single image.
        stored: the pixels as stored, (rows, columns).
        slope, intercept: of the rescale to HU.
        padding: lowest and highest stored value that stands for "no measurement".
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

    def same_pixels(self, other: "CTImage") -> bool:
        """Whether both show the same, however it is stored."""
        if self.stored.shape != other.stored.shape:
            return False
        if (self.slope, self.intercept) == (other.slope, other.intercept):
            return np.array_equal(self.stored, other.stored)
        here, there = (one.stored * np.float64(one.slope) + one.intercept for one in (self, other))
        return np.array_equal(here, there)

    @property
    def is_whole(self) -> bool:
        """Whether all its HU are whole numbers."""
        return self.slope.is_integer() and self.intercept.is_integer()

    def tissue_padded(self) -> tuple[int, int]:
        """Voxels of tissue that the padding turns to air, and all voxels of tissue, by HU without the padding."""
        if self.padding is None:
            return 0, 0
        ends = sorted((one - self.intercept) / self.slope for one in TISSUE)
        tissue = (self.stored >= ends[0]) & (self.stored <= ends[1])
        padded = (self.stored >= self.padding[0]) & (self.stored <= self.padding[1])
        return int(np.count_nonzero(tissue & padded)), int(np.count_nonzero(tissue))

    def beyond_range(self) -> int:
        """Voxels above ``LARGEST_HU`` that are no padding."""
        ends = [float(end) * self.slope + self.intercept for end in (self.stored.min(), self.stored.max())]
        if max(ends) <= LARGEST_HU:
            return 0
        beyond = self.stored * np.float64(self.slope) + self.intercept > LARGEST_HU
        if self.padding is not None:
            beyond &= (self.stored < self.padding[0]) | (self.stored > self.padding[1])
        return int(np.count_nonzero(beyond))

    def write_hounsfield_units(self, into: npt.NDArray[Any]) -> None:
        """Write HU (rows, columns) into ``into``; padding and whatever is below air become air."""
        values: npt.NDArray[Any]
        if not self.is_whole:
            values = self.stored.astype(np.float32) * np.float32(self.slope) + np.float32(self.intercept)
        elif self.slope != 1:
            values = self.stored.astype(np.int64) * int(self.slope) + int(self.intercept)
        else:
            values = self.stored.astype(np.int32)
            values += int(self.intercept)
        if self.padding is not None:
            low, high = self.padding
            values[(self.stored >= low) & (self.stored <= high)] = AIR
        np.clip(values, AIR, LARGEST_HU, out=into, casting="unsafe")


def read_ct_image(
    header: Mapping[str, Any] | Dataset, stored: npt.NDArray[Any], path: Path, frame: int | None = None
) -> CTImage:
    """The image that a header, or what is known of a frame, describes.

    Raises:
        BadInput: If a value is absent or can't be, or the values are not HU.
    """
    position = number_values(header, "ImagePositionPatient", 3, path)
    orientation = number_values(header, "ImageOrientationPatient", 6, path)
    spacing = number_values(header, "PixelSpacing", 2, path)
    if min(spacing) <= 0:
        raise BadInput(f"{path} has a PixelSpacing of {spacing}; expected two positive lengths in mm: export it again.")
    slope, intercept = (number_values(header, keyword, 1, path)[0] for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0 or max(abs(slope), abs(intercept)) > _LARGEST_RESCALE:
        raise BadInput(
            f"{path} has a RescaleSlope of {slope:g} and a RescaleIntercept of {intercept:g}, which make no HU; "
            "export the CT series again."
        )
    kind = rescale_type(header)
    if kind not in HOUNSFIELD:
        raise BadInput(
            f"{path} has the RescaleType {kind[:16]}, a map of something else than HU; expected HU: export the CT "
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
        padding=_padding(header),
    )


def rescale_type(header: Mapping[str, Any] | Dataset) -> str:
    """The RescaleType in capitals; empty if the header has none."""
    found = header.get("RescaleType")
    values = [found] if isinstance(found, str) or found is None else list(found)
    return (
        " ".join("".join(one if one.isprintable() else " " for one in str(value or "")) for value in values)
        .strip()
        .upper()
    )


def matrix_size(header: Dataset, path: Path) -> tuple[int, int]:
    """Rows and columns.

    Raises:
        BadInput: where they are absent or absurd.
    """
    rows, columns = (int(number_values(header, keyword, 1, path)[0]) for keyword in ("Rows", "Columns"))
    if not (1 <= rows <= LARGEST_MATRIX and 1 <= columns <= LARGEST_MATRIX):
        raise BadInput(
            f"{path} says that it has {rows} rows and {columns} columns; expected 1 to {LARGEST_MATRIX}: "
            "export it again."
        )
    return rows, columns


def number_values(header: Mapping[str, Any] | Dataset, keyword: str, count: int, path: Path) -> tuple[float, ...]:
    """A header's value as ``count`` finite numbers.

    Raises:
        BadInput: where it is none.
    """
    try:
        values = tuple(float(value) for value in _values(header, keyword))
    except (KeyError, TypeError, ValueError, OverflowError):
        values = ()
    if len(values) != count or not all(map(isfinite, values)):
        raise BadInput(f"{path} has no usable {keyword}; expected {count} number(s): export the CT series again.")
    return values


def _values(header: Mapping[str, Any] | Dataset, keyword: str) -> Iterable[Any]:
    """A header's values. Decimal strings stay text: pydicom makes an object of every number, at twice the cost."""
    if isinstance(header, Dataset):
        element: object = header.get_item(keyword)
        if isinstance(element, RawDataElement) and dictionary_VR(element.tag) == "DS" and element.value:
            text = bytes(element.value)
            return [] if b"_" in text else text.rstrip(b" \0").split(b"\\")  # Python reads "1_0" as 10
    found: Any = header.get(keyword)
    return found if isinstance(found, Iterable | MultiValue) else [found]


def _padding(header: Mapping[str, Any] | Dataset) -> tuple[int, int] | None:
    if header.get("PixelPaddingValue") is None:
        return None
    ends = [header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")]
    values = [int(end) for end in ends if end is not None]
    return min(values), max(values)
