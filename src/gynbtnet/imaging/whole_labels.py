"""Labels that were stored as floating-point numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput

LABEL_TOLERANCE = 1e-3
"""Largest distance of a label from a whole number; resampling and scaling leave such rounding errors."""


def are_whole_numbers(values: npt.NDArray[Any]) -> bool:
    """Return True if all values are whole numbers within ``LABEL_TOLERANCE``."""
    return values.dtype.kind in "iub" or bool((np.abs(values - np.rint(values)) <= LABEL_TOLERANCE).all())


def as_whole_labels(volume: Volume, path: Path) -> Volume:
    """Return a label map with its labels rounded to whole numbers; integers stay unchanged.

    Args:
        volume: the label map.
        path: its file, for messages.

    Raises:
        BadInput: If a value is farther than ``LABEL_TOLERANCE`` from every whole number.
    """
    array = volume.array
    if array.dtype.kind in "iub":
        return volume
    rounded = np.rint(array)
    distances = np.abs(array - rounded)
    if not are_whole_numbers(array):
        worst, count = float(array.flat[int(distances.argmax())]), np.count_nonzero(distances > LABEL_TOLERANCE)
        raise BadInput(
            f"{path} has values that are not whole numbers ({worst:.9g}), {count} of {array.size}; expected a "
            "label map: was it resampled with interpolation, or is it an image?"
        )
    return replace(volume, array=rounded)
