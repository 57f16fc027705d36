"""Masks that were stored as images: 0 outside, one other value inside."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.volume import Volume
from gynbtnet.imaging.whole_labels import LABEL_TOLERANCE, as_whole_labels
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput


def is_other_image(values: npt.NDArray[Any]) -> bool:
    """Check if values can't be a mask: some are below 0, or several are above it, as in a scan or a label map.

    A mask that was resampled with interpolation has fractions up to its value; it is a damaged mask, not another image.

    Args:
        values: values of the voxels.
    """
    if values.min(initial=0) < -LABEL_TOLERANCE:
        return True
    above = values[values > 0]
    has_several = above.size > 0 and above.max() - above.min() > LABEL_TOLERANCE
    return bool(has_several and above.max() > 1 + LABEL_TOLERANCE)


def as_mask(volume: Volume, path: Path) -> Mask:
    """Return the voxels inside a mask (z, y, x).

    Args:
        volume: image with the value 0 outside and one other value inside.
        path: its file, for messages.

    Raises:
        BadInput: If a value is below 0 or no whole number, or there are several values above 0.
    """
    values = volume.array
    if is_other_image(values):
        raise BadInput(
            f"{path} holds no mask: it has values from {values.min():g} to {values.max():g}; expected 0 and one other "
            "value above it. Export one mask per structure, or remove the file."
        )
    mask: Mask = np.greater(as_whole_labels(volume, path).array, 0)
    return mask
