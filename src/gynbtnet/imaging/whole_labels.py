"""Labels that were stored as floating point numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput

LABEL_TOLERANCE = 1e-3
"""By how much a label may differ from a whole number; resampling and scaling leave such rests."""


def are_whole_numbers(values: npt.NDArray[Any]) -> bool:
    """Whether all values are whole numbers within the tolerance."""
    return values.dtype.kind in "iub" or bool((np.abs(values - np.rint(values)) <= LABEL_TOLERANCE).all())


def as_whole_labels(volume: Volume, path: Path) -> Volume:
    """Round the labels of a map to the whole numbers that they stand for.

    Args:
        volume: the label map.
        path: of its file, for messages.

    Raises:
        BadInput: If a value is farther than the tolerance from every whole number.
    """
    array = volume.array
    if array.dtype.kind in "iub":
        return volume
    rounded = np.rint(array)
    off = np.abs(array - rounded)
    if not are_whole_numbers(array):
        worst, count = float(array.flat[int(off.argmax())]), np.count_nonzero(off > LABEL_TOLERANCE)
        raise BadInput(
            f"{path} holds values that are no whole numbers ({worst:.9g}), {count} of {array.size}; expected a "
            "label map: was it resampled with interpolation, or is it an image?"
        )
    return replace(volume, array=rounded)
