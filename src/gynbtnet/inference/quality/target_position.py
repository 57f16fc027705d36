"""Whether the HR-CTV lies where the cervix is.

It contains the cervix, so it adjoins the uterus, and it lies behind the bladder and before the rectum. Where no uterus
is drawn, as after a hysterectomy, it has to be near the bladder or the rectum, between which the vaginal vault lies.
The limits are wide on purpose: they find a target drawn in another place, not one that is a few millimetres off.
"""

import numpy as np
from scipy.spatial import KDTree

from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import FloatArray

TARGET, UTERUS, BLADDER, RECTUM = "hr_ctv", "uterus", "bladder", "rectum"
UTERUS_GAP_MM = 10.0
"""Between the centres of the nearest voxels: two slices of 5 mm."""
VAULT_GAP_MM = 20.0
_POSTERIOR = 1  # axis of world points, LPS


def implausible_target_position(segmentation: Segmentation) -> str | None:
    """What is wrong with where the HR-CTV lies, as the predicate of a sentence; None where it wasn't drawn, or nothing.

    Only structures that the segmentation knows, and that were drawn, are asked.
    """
    names = [name for name in (TARGET, UTERUS, BLADDER, RECTUM) if name in segmentation.structures]
    boxes = segmentation.boxes()
    points = {name: _points(segmentation, name, boxes[name]) for name in names}
    drawn = {name: of_structure for name, of_structure in points.items() if len(of_structure)}
    if TARGET not in drawn:
        return None
    target = drawn[TARGET]
    if UTERUS in drawn:
        gap = _gap(target, drawn[UTERUS])
        if gap > UTERUS_GAP_MM:
            return f"is {gap:.0f} mm from the {UTERUS} but should adjoin it"
    else:
        gaps = {name: _gap(target, drawn[name]) for name in (BLADDER, RECTUM) if name in drawn}
        if gaps and min(gaps.values()) > VAULT_GAP_MM:
            nearest = min(gaps, key=lambda name: gaps[name])
            return f"is too far from its neighbours: the nearest, the {nearest}, is {gaps[nearest]:.0f} mm away"
    depth = target[:, _POSTERIOR].mean()
    if BLADDER in drawn and depth < drawn[BLADDER][:, _POSTERIOR].mean():
        return f"is anterior to the {BLADDER} but should be posterior to it"
    if RECTUM in drawn and depth > drawn[RECTUM][:, _POSTERIOR].mean():
        return f"is posterior to the {RECTUM} but should be anterior to it"
    return None


def _points(segmentation: Segmentation, structure: str, box: tuple[slice, ...] | None) -> FloatArray:
    """Centres of a structure's voxels, (n, 3) as (x, y, z) in mm; ``box`` holds them all, None where there are none."""
    if box is None:
        return np.empty((0, 3))
    inside = np.argwhere(segmentation.mask(structure, box))
    return segmentation.labels.geometry.to_world(inside + [axis.start for axis in box])


def _gap(one: FloatArray, other: FloatArray) -> float:
    """Between the nearest voxel centres of two structures, in mm."""
    return float(KDTree(other).query(one)[0].min())
