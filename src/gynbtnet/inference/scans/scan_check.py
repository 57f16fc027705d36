"""Whether a scan is what a model of the pelvis can contour: refused, or contoured with a warning.

A CT is looked at by its values and its grid alone, in blocks of a few mm, so that it costs little. Every limit lies
well between the public scans that it was tried on, of the pelvis, abdomen and limbs, and what it is to catch; the
figures stand beside each.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.label_map import is_label_map
from gynbtnet.imaging.metal import is_metal
from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.engine.pelvis_finder import find_pelvis
from gynbtnet.preparation.body_mask import find_body
from gynbtnet.preparation.downsampled_scan import downsample_scan
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput

LEAST_FAT_AND_AIR = 0.01
"""Share of voxels below −50 HU. Fat and air are 0.4 and more of every CT seen, even of those cropped to a limb; an MR,
or a CT without its rescale, has none."""

UNSCALED_SOFT_TISSUE = ((824.0, 1224.0), 0.1)
"""Where soft tissue lies in a CT that is stored 1024 too high, and the share of voxels there that says so. In HU dense
bone lies there, 0.009 of the voxels at most."""

SOFT_TISSUE = ((-250.0, 250.0), 0.02)
"""HU, and the least share of voxels there: 0.25 in the emptiest CT seen, where a limb lies in much air."""

SHORTEST_MM = 50.0
"""Along the patient: bladder, rectum and uterus are each longer."""

THICKEST_MM = 4.9
"""Between slices. An HR-CTV 30 mm high is then on six slices, and half a slice at each end a sixth of it."""

LATERAL_MM = 50.0
"""From the middle of the body. Applicators lie nearer to it, hips farther."""

LEAST_METAL_CM3 = 4.0
"""The one hip implant seen has 11 at a resolution of 3 mm; an applicator has as much, in the middle."""

CONTRAST_HU = 150.0
CONTRAST_EVENNESS = 0.1
LEAST_CONTRAST_CM3 = 10.0
"""Regions brighter than soft tissue whose deviation within 12 mm is less than a tenth of their mean, without their rim:
34 in an abdomen with contrast, 2.2 at most elsewhere: bone is never so even."""

_NO_AGENT = ("no", "none", "n", "without", "not")


def check_scan(volume: Volume, where: str, contrast_agent: str = "") -> tuple[str, ...]:
    """What may spoil the contours of a CT, a sentence each.

    Args:
        volume: should be HU, on any grid.
        where: the scan, for messages.
        contrast_agent: what its header says under ContrastBolusAgent.

    Raises:
        BadInput: where it is no CT in HU, or shows nothing.
    """
    if 1 in volume.array.shape:
        raise BadInput(
            f"{where} is a single slice ({'×'.join(map(str, volume.array.shape))} voxels); expected a CT of the pelvis."
        )
    if volume.array.min() == volume.array.max():
        raise BadInput(f"{where} holds the value {volume.array.min():g} everywhere; expected a CT of the pelvis.")
    if is_label_map(volume):
        raise BadInput(
            f"{where} holds a few whole numbers from 0 to {volume.array.max():g}, as a label map does; expected a CT "
            "in HU, where air is about −1000: give the scan."
        )
    _check_hounsfield_units(volume.array, where)
    turn = reorientation_to_lps(volume.geometry)
    scan = Volume(turn.array(volume.array), turn.geometry(volume.geometry))
    return (*_of_grid(scan), *_of_contents(scan, contrast_agent))


def _check_hounsfield_units(array: npt.NDArray[Any], where: str) -> None:
    def share(low: float, high: float) -> float:
        return float(np.count_nonzero((array >= low) & (array <= high))) / array.size

    if float(np.count_nonzero(array < -50)) / array.size < LEAST_FAT_AND_AIR:
        limits, enough = UNSCALED_SOFT_TISSUE
        if share(*limits) > enough:
            raise BadInput(
                f"{where} holds a CT without its rescale: no value is below −50 and soft tissue lies about 1000; "
                "expected HU, where air is −1000 and water 0: subtract 1024, or convert the DICOM series again."
            )
        raise BadInput(
            f"{where} holds hardly a value below −50 (least {array.min():g}); expected a CT in HU, where air is −1000 "
            "and fat −100: this looks like an MR, or a CT that was normalised; give the planning CT itself."
        )
    limits, enough = SOFT_TISSUE
    if share(*limits) < enough:
        raise BadInput(
            f"{where} holds hardly any soft tissue: {share(*limits):.1%} of its values lie between −250 and 250; "
            "expected a CT of the pelvis in HU. Is it empty, or was the rescale applied twice?"
        )


def _of_grid(scan: Volume) -> Iterator[str]:
    slices, spacing = scan.array.shape[0], scan.geometry.spacing[0]
    if slices * spacing < SHORTEST_MM:
        yield (
            f"The scan shows {slices * spacing:.0f} mm along the patient, {slices} slices: less than any organ's "
            "length, so that every contour is cut off."
        )
    if spacing > THICKEST_MM:
        yield f"Its slices are {spacing:.3g} mm apart: the ends of every structure are uncertain by half of that."


def _of_contents(scan: Volume, contrast_agent: str) -> Iterator[str]:
    coarse = downsample_scan(scan)
    body = find_body(coarse)
    if body is None or find_pelvis(coarse, body) is None:
        yield (
            "No slice shows the hips as a pelvis has them, so that this may be another part of the body, or only a "
            "part of a pelvis; the model knows pelves alone."
        )
    metal = _lateral_metal_cm3(scan, coarse, body)
    if metal > LEAST_METAL_CM3:
        yield f"{metal:.0f} cm³ of metal lie in a hip, an implant it seems: contours among its streaks are uncertain."
    said = contrast_agent.strip()
    even = _even_and_bright_cm3(coarse)
    if said and said.casefold().split()[0] not in _NO_AGENT:
        yield "Its header names a contrast agent, which changes the HU of organs and vessels."
    elif even > LEAST_CONTRAST_CM3:
        yield f"{even:.0f} cm³ are as bright and even as a contrast agent makes bladder, bowel or kidneys."


def _lateral_metal_cm3(scan: Volume, coarse: Volume, body: Mask | None) -> float:
    """At the scan's own resolution: means of blocks lose the thin parts."""
    if body is None:
        return 0.0
    middle = coarse.geometry.to_world((0, 0, np.average(np.nonzero(body)[2])))[0]
    voxels = 0
    for z, plane in enumerate(scan.array):  # one by one: a noisy scan has gigabytes of indices
        bright = np.argwhere(is_metal(plane))
        places = scan.geometry.to_world(np.column_stack([np.full(len(bright), z), bright]))[:, 0]
        voxels += int(np.count_nonzero(np.abs(places - middle) > LATERAL_MM))
    return voxels * scan.geometry.voxel_volume / 1000


def _even_and_bright_cm3(coarse: Volume) -> float:
    """The largest connected region of what a contrast agent may have brightened."""
    mean = ndimage.uniform_filter(coarse.array, 3)
    variance = ndimage.uniform_filter(coarse.array**2, 3) - mean**2
    bright = (mean > CONTRAST_HU) & ~is_metal(mean) & (variance < (CONTRAST_EVENNESS * mean) ** 2)
    parts, _ = ndimage.label(bright)
    return float(np.bincount(parts.ravel())[1:].max(initial=0)) * coarse.geometry.voxel_volume / 1000
