"""Detection of metal in a scan by its HU.

A scan has metal, and the streaks that metal causes, if its metal voxels (:mod:`gynbtnet.imaging.metal`) have a total
volume of 0.1 cm³ or more. Applicators of carbon fibre or plastic, and titanium walls thinner than a voxel, are below.
"""

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.metal import METAL_HU, is_metal
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.progress import track

LEAST_CM3 = 0.1
METAL_RULE = f"Metal: at least {LEAST_CM3:g} cm³ of the scan at {METAL_HU:g} HU or more."


def metal_cm3(scan: Volume) -> float:
    """Return the volume in cm³ of all metal voxels of a scan (HU)."""
    return int(np.count_nonzero(is_metal(scan.array))) * scan.geometry.voxel_volume / 1000


def cases_with_metal(cohort: Cohort) -> frozenset[str]:
    """Return the ids of the cases whose scan contains metal; every scan is read."""
    return frozenset(
        case.id for case in track(cohort.cases, "Look for metal") if metal_cm3(read_volume(case.image)) >= LEAST_CM3
    )
