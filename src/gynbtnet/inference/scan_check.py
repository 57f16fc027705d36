"""Whether a scan is what a model of the pelvis can contour: refused, or contoured with a warning.

A CT is looked at by its values and its grid alone, in blocks of a few mm, so that it costs little. Every limit lies
well between the public scans that it was tried on, of the pelvis, abdomen and limbs, and what it is to catch; the
figures stand beside each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.errors import BadInput
from gynbtnet.imaging.label_map import is_label_map
from gynbtnet.imaging.volume import AIR, Volume
from gynbtnet.pictures.planes import anatomical

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

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

METAL_HU = 2500.0
"""Cortical bone stays below 2000; scanners of 12 bits end at 3071."""

LATERAL_MM = 50.0
"""From the middle of the body. Applicators lie nearer to it, hips farther."""

LEAST_METAL_CM3 = 4.0
"""The one hip implant seen has 11 at a resolution of 3 mm; an applicator has as much, in the middle."""

BONE_HU = 200.0
LEAST_HIP_BONE_CM2 = 15.0
"""In one slice on either side, farther out than LATERAL_MM: 20 to 42 in pelves, real and synthetic; 11 at most in
abdomina and limbs, where ribs, kidneys with contrast or a femur lie there."""

MOST_GAS_CM2 = 20.0
"""Within the body in such a slice: lungs are more, and shoulders lie above these."""

CONTRAST_HU = 150.0
CONTRAST_EVENNESS = 0.1
LEAST_CONTRAST_CM3 = 10.0
"""Regions brighter than soft tissue whose deviation within 9 mm is less than a tenth of their mean, without their rim:
40 in an abdomen with contrast, 4.4 at most elsewhere: bone is never so even."""

_BLOCK_MM = 3.0
_BODY_HU = -300.0
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
    seen = _Blocks.of(anatomical(volume))
    return (*_of_grid(seen), *_of_contents(seen, contrast_agent))


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


@dataclass(frozen=True)
class _Blocks:
    """A CT by the means of blocks of about 3 mm, in anatomical axes.

    Attributes:
        hu: (z, y, x), z to the head, x to the patient's left.
        spacing: of the blocks in mm, (z, y, x).
        scan: the volume itself, in the same axes.
    """

    hu: Floats
    spacing: tuple[float, float, float]
    scan: Volume

    @classmethod
    def of(cls, scan: Volume) -> "_Blocks":
        sizes = [
            max(1, min(round(_BLOCK_MM / spacing), n))
            for spacing, n in zip(scan.geometry.spacing, scan.array.shape, strict=True)
        ]
        counts = [n // size for n, size in zip(scan.array.shape, sizes, strict=True)]
        whole = scan.array[tuple(slice(0, count * size) for count, size in zip(counts, sizes, strict=True))]
        parts = [length for pair in zip(counts, sizes, strict=True) for length in pair]
        hu = np.maximum(whole, AIR).reshape(parts).mean(axis=(1, 3, 5), dtype=np.float32)
        z, y, x = (size * spacing for size, spacing in zip(sizes, scan.geometry.spacing, strict=True))
        return cls(hu, (z, y, x), scan)

    @property
    def pixel_cm2(self) -> float:
        return self.spacing[1] * self.spacing[2] / 100

    @property
    def voxel_cm3(self) -> float:
        return self.pixel_cm2 * self.spacing[0] / 10

    def body(self) -> Mask:
        """The largest connected part denser than lung; without table and clothes where these lie apart."""
        dense = ndimage.binary_opening(self.hu > _BODY_HU, np.ones((1, 3, 3)))
        parts, _ = ndimage.label(dense)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        return np.asarray((parts == sizes.argmax()) & dense)


def _of_grid(seen: _Blocks) -> Iterator[str]:
    slices, spacing = seen.scan.array.shape[0], seen.scan.geometry.spacing[0]
    if slices * spacing < SHORTEST_MM:
        yield (
            f"The scan shows {slices * spacing:.0f} mm along the patient, {slices} slices: less than any organ's "
            "length, so that every contour is cut off."
        )
    if spacing > THICKEST_MM:
        yield f"Its slices are {spacing:.3g} mm apart: the ends of every structure are uncertain by half of that."


def _of_contents(seen: _Blocks, contrast_agent: str) -> Iterator[str]:
    body = seen.body()
    middle = _middle(body)
    if _hip_bone_cm2(seen, body, middle) < LEAST_HIP_BONE_CM2:
        yield (
            "No slice shows the bones of both hips, so that this may be another part of the body, or only a part of a "
            "pelvis; the model knows pelves alone."
        )
    metal = _lateral_metal_cm3(seen, middle)
    if metal > LEAST_METAL_CM3:
        yield f"{metal:.0f} cm³ of metal lie in a hip, an implant it seems: contours among its streaks are uncertain."
    said = contrast_agent.strip()
    even = _even_and_bright_cm3(seen)
    if said and said.casefold().split()[0] not in _NO_AGENT:
        yield "Its header names a contrast agent, which changes the HU of organs and vessels."
    elif even > LEAST_CONTRAST_CM3:
        yield f"{even:.0f} cm³ are as bright and even as a contrast agent makes bladder, bowel or kidneys."


def _middle(body: Mask) -> float:
    """Where the body's middle lies along x, in blocks: the median of those of its slices."""
    columns = [np.flatnonzero(one.any(axis=0)) for one in body]
    middles = [(one[0] + one[-1]) / 2 for one in columns if len(one)]
    return float(np.median(middles)) if middles else body.shape[2] / 2


def _hip_bone_cm2(seen: _Blocks, body: Mask, middle: float) -> float:
    """The largest area of bone that a slice without lungs has on each side, the lesser side of it."""
    aside = (np.arange(body.shape[2]) - middle) * seen.spacing[2]
    bone = (seen.hu > BONE_HU) & body
    right, left = (bone[:, :, side].sum(axis=(1, 2)) for side in (aside < -LATERAL_MM, aside > LATERAL_MM))
    within = np.stack([ndimage.binary_fill_holes(one) for one in body])
    gas = (within & (seen.hu < -500)).sum(axis=(1, 2)) * seen.pixel_cm2
    both = np.minimum(left, right) * seen.pixel_cm2
    return float(both[gas < MOST_GAS_CM2].max(initial=0))


def _lateral_metal_cm3(seen: _Blocks, middle: float) -> float:
    """At the scan's own resolution: means of blocks lose the thin parts."""
    spacing = seen.scan.geometry.spacing
    columns = np.nonzero(seen.scan.array > METAL_HU)[2]
    aside = (columns + 0.5) * spacing[2] - (middle + 0.5) * seen.spacing[2]
    return float(np.count_nonzero(np.abs(aside) > LATERAL_MM)) * seen.scan.geometry.voxel_volume / 1000


def _even_and_bright_cm3(seen: _Blocks) -> float:
    """The largest connected region of what a contrast agent may have brightened."""
    mean = ndimage.uniform_filter(seen.hu, 3)
    variance = ndimage.uniform_filter(seen.hu**2, 3) - mean**2
    bright = (mean > CONTRAST_HU) & (mean < METAL_HU) & (variance < (CONTRAST_EVENNESS * mean) ** 2)
    parts, _ = ndimage.label(bright)
    return float(np.bincount(parts.ravel())[1:].max(initial=0)) * seen.voxel_cm3
