"""Whether a scan has metal in it, by a rule that looks at its HU alone.

A scan whose metal voxels (:mod:`gynbtnet.imaging.metal`) have 0.1 cm³ or more together has metal, and with it the
streaks that metal throws. Applicators of carbon fibre or plastic, and titanium walls thinner than a voxel, stay below.
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
    """The volume in cm³ of all voxels of a scan (HU) that are metal."""
    return int(np.count_nonzero(is_metal(scan.array))) * scan.geometry.voxel_volume / 1000


def cases_with_metal(cohort: Cohort) -> frozenset[str]:
    """The ids of the cases whose scan has metal in it; every scan is read."""
    return frozenset(
        case.id for case in track(cohort.cases, "Look for metal") if metal_cm3(read_volume(case.image)) >= LEAST_CM3
    )
