"""Enhanced multi-frame CT (PS3.3 A.38.1): many images in one object."""

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.ct_slice import CTImage, matrix_size, read_ct_image
from gynbtnet.imaging.dicom.pixel_data import decode_pixels
from gynbtnet.runtime.errors import BadInput

MOST_FRAMES = 10_000

_MACROS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)
"""Functional groups that say where a frame lies and what its values mean (PS3.3 C.7.6.16.2)."""


def split_frames(dataset: Dataset, path: Path) -> list[CTImage]:
    """The images of a multi-frame object, in the order of its frames.

    Raises:
        BadInput: where the object is no whole multi-frame CT.
    """
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    declared = int(dataset.get("NumberOfFrames") or 0)
    if declared != len(frames) or not 1 <= declared <= MOST_FRAMES:
        raise BadInput(
            f"{path} says that it has {declared} frames and describes {len(frames)}; expected one description a frame, "
            f"at most {MOST_FRAMES}: export it again."
        )
    shape = (declared, *matrix_size(dataset, path))
    pixels = decode_pixels(dataset, shape, path)
    shared = _described((dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0])
    own: dict[str, Any] = {
        keyword: dataset.get(keyword)
        for keyword in ("SOPClassUID", "SOPInstanceUID", "PixelPaddingValue", "PixelPaddingRangeLimit")
    }
    return [
        read_ct_image(own | shared | _described(frame), stored, path, number)
        for number, (frame, stored) in enumerate(zip(frames, pixels, strict=True), start=1)
    ]


def plane_orientation(dataset: Dataset) -> Any:
    """The first frame's ImageOrientationPatient; None where there is none."""
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (dataset.get(keyword) or ())[:1]:
            found = _described(group).get("ImageOrientationPatient")
            if found is not None:
                return found
    return None


def _described(group: Dataset) -> dict[str, Any]:
    """What one functional group says, by keyword."""
    return {
        element.keyword: element.value for macro in _MACROS for item in (group.get(macro) or ())[:1] for element in item
    }
