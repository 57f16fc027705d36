"""Detection of the pelvis in a CT by its bones."""

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.volume import Volume
from gynbtnet.preparation.body_mask import MARGIN, TISSUE, depth_within

_BONE, _BRIGHTEST_BONE = 180, 2000  # HU of means over 4 mm; a block with metal in it is brighter
_MIDLINE, _LATERAL = (
    45.0,
    180.0,
)  # mm from the midline of the body: symphysis and sacrum are nearer, hips and iliac crests are between the two
_HIP = 1800.0  # mm² of bone on each side in the slice of the hip joints; adults have 2300, a contrasted bowel 1700
_CREST = 60.0  # mm² of bone on each side in the uppermost slices of the iliac crests
_SYMPHYSIS = 40.0  # mm² of bone at the midline in the lowest slices of the pelvis
_TRUNK = (33_000.0, 8_000.0)  # mm² of tissue in the slice, and at its midline: a head and separate legs have less
_LUNG, _AIR = (
    8000.0,
    -500,
)  # mm² of air (below this HU) deep in the body in a slice: two lungs; shoulders are next to them
_DEEP = 15.0  # mm below the skin
_LUNG_NEAR = 120.0  # mm
_GAP = 15.0  # mm without bone that may interrupt the pelvis
_ABOVE, _BELOW = (110.0, 220.0), (90.0, 160.0)  # mm from the hip joints, at least and at most, margin included
_MARGIN = 30.0  # mm around the detected bones


def find_pelvis(coarse: Volume, body: npt.NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return the slices (z) and columns (x) that contain the pelvis with a margin of 30 mm; None if it isn't found.

    The hip joints are in the slice with most bone, measured on the side with less bone. Only slices of the trunk far
    from the lungs are considered, which excludes shoulders. The pelvis extends up as long as there is bone on
    both sides (iliac crests). It extends down as long as there is bone at the midline (symphysis). Both extents are
    limited to those of adults.

    Args:
        coarse: downsampled CT in HU, from :func:`~gynbtnet.preparation.downsampled_scan.downsample_scan`.
        body: mask of the body on the same grid, from :func:`~gynbtnet.preparation.body_mask.find_body`.
    """
    height, depth, width = coarse.geometry.spacing
    side = (np.arange(coarse.geometry.shape[2]) - np.average(np.nonzero(body)[2])) * width
    outer = (np.abs(side) > _MIDLINE) & (np.abs(side) < _LATERAL)
    bone = ((coarse.array > _BONE) & (coarse.array < _BRIGHTEST_BONE) & body).sum(1) * depth * width  # mm² (z, x)
    lateral = np.minimum(bone[:, outer & (side < 0)].sum(1), bone[:, outer & (side > 0)].sum(1))
    central = bone[:, np.abs(side) <= _MIDLINE].sum(1)
    tissue = ((coarse.array > TISSUE) & body).sum(1) * depth * width
    trunk = (tissue.sum(1) > _TRUNK[0]) & (tissue[:, np.abs(side) <= _MIDLINE].sum(1) > _TRUNK[1])
    deep = (coarse.array < _AIR) & (depth_within(body, coarse) > MARGIN + _DEEP)
    near = 2 * round(_LUNG_NEAR / height) + 1
    lungs = np.convolve(deep.sum((1, 2)) * depth * width > _LUNG, np.ones(near), "full")[near // 2 :][: len(trunk)] > 0
    candidates = np.where(trunk & ~lungs, lateral, 0)
    hips = int(candidates.argmax())
    if candidates[hips] < _HIP:
        return None
    top = _last_slice(lateral >= _CREST, hips, 1, _GAP / height)
    bottom = _last_slice(central >= _SYMPHYSIS, hips, -1, _GAP / height)
    up = np.clip((top - hips) * height + _MARGIN, *_ABOVE) / height
    down = np.clip((hips - bottom) * height + _MARGIN, *_BELOW) / height
    slices = slice(max(0, int(hips - down)), min(len(lateral), int(np.ceil(hips + up)) + 1))
    wide = np.flatnonzero(bone[slices].sum(0) * (np.abs(side) < _LATERAL))
    margin = round(_MARGIN / width)
    return slices, slice(max(0, int(wide[0]) - margin), int(wide[-1]) + margin + 1)


def _last_slice(is_pelvis: npt.NDArray[np.bool_], start: int, step: int, gap: float) -> int:
    """Return the last slice of the pelvis from ``start`` in one direction; gaps of up to ``gap`` slices are skipped."""
    last = index = start
    while 0 <= index < len(is_pelvis) and abs(index - last) <= gap:
        last = index if is_pelvis[index] else last
        index += step
    return last
