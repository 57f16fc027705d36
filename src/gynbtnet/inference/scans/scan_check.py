"""Check that a scan is a pelvic CT in HU: other scans are refused, or predicted with a warning.

Only values and grid of the scan are used, averaged over blocks of a few mm, which is fast. Each limit is well between
the public scans on which it was tested (pelvis, abdomen and limbs) and the scans that it must detect. The measured
values are next to each limit.
"""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from gynbtnet.datasets.hounsfield_units import describe_wrong_values
from gynbtnet.imaging.label_map import is_label_map
from gynbtnet.imaging.metal import is_metal
from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.engine.pelvis_finder import find_pelvis
from gynbtnet.preparation.body_mask import find_body
from gynbtnet.preparation.downsampled_scan import downsample_scan
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

SHORTEST_MM = 50.0
"""Smallest length along the patient; bladder, rectum and uterus are all longer."""

THICKEST_MM = 4.9
"""Largest distance between slices. An HR-CTV of 30 mm is then on six slices; half a slice at both ends is a sixth."""

LATERAL_MM = 50.0
"""Distance from the midline of the body. Applicators are nearer, hips are farther."""

LEAST_METAL_CM3 = 4.0
"""Smallest metal volume of a hip implant. The tested implant has 11 cm³ at 3 mm; an applicator has as much, but near
the midline."""

CONTRAST_HU = 150.0
CONTRAST_EVENNESS = 0.1
LEAST_CONTRAST_CM3 = 10.0
"""Contrast agent: regions brighter than soft tissue, without their rim, with a standard deviation within 12 mm below a
tenth of their mean. There are 34 cm³ in an abdomen with contrast and at most 2.2 cm³ elsewhere; bone is less even."""

_NO_AGENT = ("no", "none", "n", "without", "not")


def check_scan(volume: Volume, name: str, contrast_agent: str = "") -> tuple[str, ...]:
    """Check a CT, and return a sentence for each property that may impair the prediction.

    Args:
        volume: scan that should be in HU, on any grid.
        name: name of the scan in messages.
        contrast_agent: ContrastBolusAgent of its DICOM header.

    Returns:
        One sentence per warning; empty if nothing is unusual.

    Raises:
        BadInput: If the scan is not a CT in HU, or is empty.
    """
    if 1 in volume.array.shape:
        raise BadInput(
            f"{name} is a single slice ({'×'.join(map(str, volume.array.shape))} voxels); expected a CT of the pelvis."
        )
    if volume.array.min() == volume.array.max():
        raise BadInput(f"{name} has the value {volume.array.min():g} everywhere; expected a CT of the pelvis.")
    if is_label_map(volume):
        raise BadInput(
            f"{name} contains few whole numbers from 0 to {volume.array.max():g}, like a label map; expected a CT in "
            "HU (air is about −1000): give the scan."
        )
    if problem := describe_wrong_values(volume.array):
        raise BadInput(f"{name} {problem}")
    reorientation = reorientation_to_lps(volume.geometry)
    scan = Volume(reorientation.array(volume.array), reorientation.geometry(volume.geometry))
    return (*_grid_warnings(scan), *_content_warnings(scan, contrast_agent))


def _grid_warnings(scan: Volume) -> Iterator[str]:
    slices, spacing = scan.array.shape[0], scan.geometry.spacing[0]
    if slices * spacing < SHORTEST_MM:
        yield (
            f"The scan covers only {slices * spacing:.0f} mm along the patient ({counted(slices, 'slice')}). Every "
            "structure is longer, so all contours are incomplete."
        )
    if spacing > THICKEST_MM:
        yield (
            f"The slice spacing is {spacing:.3g} mm. The upper and lower ends of all structures are uncertain by "
            "half of it."
        )


def _content_warnings(scan: Volume, contrast_agent: str) -> Iterator[str]:
    coarse = downsample_scan(scan)
    body = find_body(coarse)
    if body is None or find_pelvis(coarse, body) is None:
        yield (
            "No hip joints were found. The scan may show another body region or only a part of the pelvis; the "
            "model was trained on the pelvis only."
        )
    metal = _lateral_metal_cm3(scan, coarse, body)
    if metal > LEAST_METAL_CM3:
        yield (
            f"There are {metal:.0f} cm³ of metal in a hip, probably an implant. Contours within its artefacts are "
            "uncertain."
        )
    agent = contrast_agent.strip()
    even = _even_and_bright_cm3(coarse)
    if agent and agent.casefold().split()[0] not in _NO_AGENT:
        yield "The DICOM header names a contrast agent, which changes the HU of organs and vessels."
    elif even > LEAST_CONTRAST_CM3:
        yield f"{even:.0f} cm³ are bright and homogeneous, probably contrast agent in bladder, bowel or kidneys."


def _lateral_metal_cm3(scan: Volume, coarse: Volume, body: Mask | None) -> float:
    """Return the volume of metal far from the midline, at the scan's own resolution: averages would lose thin parts."""
    if body is None:
        return 0.0
    midline = coarse.geometry.to_world((0, 0, np.average(np.nonzero(body)[2])))[0]
    voxels = 0
    for z, plane in enumerate(scan.array):  # one by one: a noisy scan has gigabytes of indices
        bright = np.argwhere(is_metal(plane))
        x = scan.geometry.to_world(np.column_stack([np.full(len(bright), z), bright]))[:, 0]
        voxels += int(np.count_nonzero(np.abs(x - midline) > LATERAL_MM))
    return voxels * scan.geometry.voxel_volume / 1000


def _even_and_bright_cm3(coarse: Volume) -> float:
    """Return the volume of the largest connected region that is bright and homogeneous, as with a contrast agent."""
    mean = ndimage.uniform_filter(coarse.array, 3)
    variance = ndimage.uniform_filter(coarse.array**2, 3) - mean**2
    bright = (mean > CONTRAST_HU) & ~is_metal(mean) & (variance < (CONTRAST_EVENNESS * mean) ** 2)
    regions, _ = ndimage.label(bright)
    return float(np.bincount(regions.ravel())[1:].max(initial=0)) * coarse.geometry.voxel_volume / 1000
