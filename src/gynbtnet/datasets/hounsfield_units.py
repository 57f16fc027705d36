"""Detection of scans whose values are not HU.

Each limit is well between the public scans on which it was tested (pelvis, abdomen and limbs) and the scans that it
must detect. The measured values are next to each limit.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

LEAST_FAT_AND_AIR = 0.01
"""Smallest share of voxels below −50 HU. Fat and air are at least 0.4 of every tested CT, even if cropped to a limb. An
MR, or a CT without rescale, has none."""

UNSCALED_SOFT_TISSUE = ((824.0, 1224.0), 0.1)
"""Range of soft tissue in a CT that is stored 1024 too high, and the share of voxels there that reveals it. In HU this
range is dense bone, at most 0.009 of the voxels."""

SOFT_TISSUE = ((-250.0, 250.0), 0.02)
"""Range in HU, and the smallest share of voxels there: 0.25 in the emptiest tested CT, a limb in much air."""


def describe_wrong_values(array: npt.NDArray[Any]) -> str:
    """Return why the values of a scan are not HU.

    Args:
        array: values of a scan that should be a CT in HU, of any shape.

    Returns:
        The end of a sentence that begins with the scan's name; empty if the values can be HU.
    """

    def share(low: float, high: float) -> float:
        return float(np.count_nonzero((array >= low) & (array <= high))) / array.size

    if float(np.count_nonzero(array < -50)) / array.size < LEAST_FAT_AND_AIR:
        limits, enough = UNSCALED_SOFT_TISSUE
        if share(*limits) > enough:
            return (
                "is a CT without its rescale: no value is below −50, and soft tissue is about 1000. Expected "
                "HU (air −1000, water 0): subtract 1024, or convert the DICOM series again."
            )
        return (
            f"has hardly any value below −50 (lowest {array.min():g}), like an MR or a normalised CT. "
            "Expected a CT in HU (air −1000, fat −100): give the planning CT itself."
        )
    limits, enough = SOFT_TISSUE
    if share(*limits) < enough:
        return (
            f"has hardly any soft tissue: {share(*limits):.1%} of its values are between −250 and 250; "
            "expected a CT of the pelvis in HU. It may be empty, or its rescale was applied twice."
        )
    return ""
