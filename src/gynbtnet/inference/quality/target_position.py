"""Plausibility of the position of the HR-CTV relative to uterus, bladder and rectum.

The HR-CTV contains the cervix, so it adjoins the uterus, posterior to the bladder and anterior to the rectum. Without a
uterus, for example after hysterectomy, it must be near bladder or rectum, because the vaginal vault is between them.
The limits are wide on purpose: they detect a target in a wrong region, not a shift of a few millimetres.
"""

import numpy as np
from scipy.spatial import KDTree

from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import FloatArray

TARGET, UTERUS, BLADDER, RECTUM = "hr_ctv", "uterus", "bladder", "rectum"
UTERUS_GAP_MM = 10.0
"""Largest distance between the nearest voxel centres of HR-CTV and uterus: two slices of 5 mm."""
VAULT_GAP_MM = 20.0
"""Largest distance from the HR-CTV to the nearer of bladder and rectum, if there is no uterus."""
_POSTERIOR = 1  # axis of world points, LPS


def implausible_target_position(segmentation: Segmentation) -> str | None:
    """Return what is implausible about the position of the HR-CTV; None if nothing is, or if there is no HR-CTV.

    Only structures with at least one voxel are considered.

    Returns:
        The predicate of a sentence, such as "is 15 mm from the uterus but should adjoin it".
    """
    names = [name for name in (TARGET, UTERUS, BLADDER, RECTUM) if name in segmentation.structures]
    boxes = segmentation.boxes()
    points = {name: _points(segmentation, name, boxes[name]) for name in names}
    present = {name: voxels for name, voxels in points.items() if len(voxels)}
    if TARGET not in present:
        return None
    target = present[TARGET]
    if UTERUS in present:
        gap = _gap(target, present[UTERUS])
        if gap > UTERUS_GAP_MM:
            return f"is {gap:.0f} mm from the {UTERUS} but should adjoin it"
    else:
        gaps = {name: _gap(target, present[name]) for name in (BLADDER, RECTUM) if name in present}
        if gaps and min(gaps.values()) > VAULT_GAP_MM:
            nearest = min(gaps, key=lambda name: gaps[name])
            return f"is too far from its neighbours: the nearest, the {nearest}, is {gaps[nearest]:.0f} mm away"
    depth = target[:, _POSTERIOR].mean()
    if BLADDER in present and depth < present[BLADDER][:, _POSTERIOR].mean():
        return f"is anterior to the {BLADDER} but should be posterior to it"
    if RECTUM in present and depth > present[RECTUM][:, _POSTERIOR].mean():
        return f"is posterior to the {RECTUM} but should be anterior to it"
    return None


def _points(segmentation: Segmentation, structure: str, box: tuple[slice, ...] | None) -> FloatArray:
    """Return the voxel centres of a structure, (n, 3) as (x, y, z) in mm; ``box`` is its bounding box."""
    if box is None:
        return np.empty((0, 3))
    inside = np.argwhere(segmentation.mask(structure, box))
    return segmentation.labels.geometry.to_world(inside + [axis.start for axis in box])


def _gap(points: FloatArray, other: FloatArray) -> float:
    """Return the distance between the nearest voxel centres of two structures, in mm."""
    return float(KDTree(other).query(points)[0].min())
