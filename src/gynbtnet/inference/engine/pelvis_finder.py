"""Where in a scan the pelvis is, by its bones."""

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.volume import Volume
from gynbtnet.preparation.body_mask import MARGIN, TISSUE, depth_within

_BONE, _BRIGHTEST_BONE = 180, 2000  # HU of means over 4 mm; a block with metal in it is brighter
_MIDLINE, _LATERAL = 45.0, 180.0  # mm from the body's middle: symphysis and sacrum lie within, hips and crests between
_HIP = 1800.0  # mm² of bone on each side in the slice of the hip joints; adults have 2300, a contrasted bowel 1700
_CREST = 60.0  # mm² of it in the uppermost slices of the iliac crests
_SYMPHYSIS = 40.0  # mm² of bone at the midline in the lowest slices of the pelvis
_TRUNK = (33_000.0, 8_000.0)  # mm² of tissue in the slice, and at its midline: a head has less, and legs apart
_LUNG, _AIR = 8000.0, -500  # mm² of air deep in the body in a slice, HU: two lungs; shoulders stand beside them
_DEEP = 15.0  # mm below the skin
_LUNG_NEAR = 120.0  # mm
_GAP = 15.0  # mm without bone that don't end the pelvis
_ABOVE, _BELOW = (110.0, 220.0), (90.0, 160.0)  # mm from the hip joints, at least and at most, margin included
_MARGIN = 30.0  # mm around what is found


def find_pelvis(coarse: Volume, body: npt.NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The slices (z) and columns (x) that hold the pelvis with a margin of 30 mm; None where it isn't found.

    The hip joints are in the slice with most bone on the side that has less, in a trunk, and away from lungs, which
    tells them from shoulders. From there the pelvis goes up as far as bone stands on both sides, and down as far as it
    stands at the midline, within what an adult measures.

    Args:
        coarse: as :func:`~gynbtnet.preparation.downsampled_scan.downsample_scan` makes it.
        body: as :func:`~gynbtnet.preparation.body_mask.find_body` finds it there.
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
    top = _last(lateral >= _CREST, hips, 1, _GAP / height)
    bottom = _last(central >= _SYMPHYSIS, hips, -1, _GAP / height)
    up = np.clip((top - hips) * height + _MARGIN, *_ABOVE) / height
    down = np.clip((hips - bottom) * height + _MARGIN, *_BELOW) / height
    slices = slice(max(0, int(hips - down)), min(len(lateral), int(np.ceil(hips + up)) + 1))
    wide = np.flatnonzero(bone[slices].sum(0) * (np.abs(side) < _LATERAL))
    margin = round(_MARGIN / width)
    return slices, slice(max(0, int(wide[0]) - margin), int(wide[-1]) + margin + 1)


def _last(found: npt.NDArray[np.bool_], start: int, step: int, gap: float) -> int:
    """The last slice from ``start`` on in a direction that is found, over gaps of so many slices at most."""
    last = place = start
    while 0 <= place < len(found) and abs(place - last) <= gap:
        last = place if found[place] else last
        place += step
    return last
