"""Enhanced multi-frame CT (PS3.3 A.38.1): many images in one object."""

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.ct_slice import CTImage, matrix_size, read_ct_image
from gynbtnet.imaging.dicom.pixel_data import decode_pixels
from gynbtnet.runtime.errors import BadInput

MAX_FRAMES = 10_000

_MACROS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)
"""Functional groups with the position of a frame and the meaning of its values (PS3.3 C.7.6.16.2)."""


def split_frames(dataset: Dataset, path: Path) -> list[CTImage]:
    """Return the images of a multi-frame CT, in the order of its frames.

    Args:
        dataset: the multi-frame object.
        path: its file, for messages.

    Raises:
        BadInput: If the object isn't a complete multi-frame CT.
    """
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    declared = int(dataset.get("NumberOfFrames") or 0)
    if declared != len(frames) or not 1 <= declared <= MAX_FRAMES:
        raise BadInput(
            f"{path} declares {declared} frames and describes {len(frames)}; expected one description per frame and at "
            f"most {MAX_FRAMES} frames: export it again."
        )
    shape = (declared, *matrix_size(dataset, path))
    pixels = decode_pixels(dataset, shape, path)
    shared = _attributes((dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0])
    identity: dict[str, Any] = {
        keyword: dataset.get(keyword)
        for keyword in ("SOPClassUID", "SOPInstanceUID", "PixelPaddingValue", "PixelPaddingRangeLimit")
    }
    return [
        read_ct_image(identity | shared | _attributes(frame), stored, path, number)
        for number, (frame, stored) in enumerate(zip(frames, pixels, strict=True), start=1)
    ]


def plane_orientation(dataset: Dataset) -> Any:
    """Return the ImageOrientationPatient of the first frame; None if it has none."""
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (dataset.get(keyword) or ())[:1]:
            orientation = _attributes(group).get("ImageOrientationPatient")
            if orientation is not None:
                return orientation
    return None


def _attributes(group: Dataset) -> dict[str, Any]:
    """Return the attributes of one functional group by keyword."""
    return {
        element.keyword: element.value for macro in _MACROS for item in (group.get(macro) or ())[:1] for element in item
    }
