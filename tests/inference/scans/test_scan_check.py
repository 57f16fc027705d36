"""Scans that are not a pelvic CT in HU are refused or raise a warning; synthetic and real pelves do not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.imaging import Geometry, Volume, read_ct_series, read_volume
from gynbtnet.inference.scans.scan_check import check_scan
from gynbtnet.phantom import PhantomCase, pelvic_geometry, phantom_case
from gynbtnet.runtime import BadInput

HIPS, THICK, SHORT = "No hip joints were found", "slice spacing", "along the patient"


@pytest.fixture(scope="module", params=[0, 3], ids=["plastic", "metal applicator"])
def phantom(request: pytest.FixtureRequest) -> PhantomCase:
    return phantom_case(0, request.param, 0, pelvic_geometry((4.0, 3.0, 3.0), (44, 96, 128)))


def changed(volume: Volume, array: np.ndarray) -> Volume:
    return replace(volume, array=array)


def warned(volume: Volume, *words: str, agent: str = "") -> None:
    """One warning for each of ``words``, and no other."""
    warnings = check_scan(volume, "the scan", agent)
    assert len(warnings) == len(words), warnings
    for word in words:
        assert any(word in sentence for sentence in warnings), (word, warnings)


def test_a_pelvis_is_accepted_in_any_orientation(phantom: PhantomCase) -> None:
    warned(phantom.scan)
    grid = phantom.scan.geometry
    rotated = Geometry(grid.shape, grid.spacing, tuple(grid.to_world((43, 95, 0))), (1, 0, 0, 0, -1, 0, 0, 0, -1))
    warned(Volume(phantom.scan.array[::-1, ::-1], rotated))


def test_values_that_are_not_hu_are_refused(phantom: PhantomCase) -> None:
    scan = phantom.scan
    unscaled = np.maximum(scan.array, -1024).astype(np.uint16) + 1024
    magnitude = np.abs(scan.array.astype(float) / 4 + 256) * np.linspace(0.5, 1.5, scan.array.shape[2])
    for array, words in (
        ((scan.array.astype(np.int32) + 1024).clip(0, 4095).astype(np.uint16), "CT without its rescale.*subtract 1024"),
        (unscaled, "CT without its rescale"),
        (magnitude.astype(np.float32), "like an MR"),
        ((scan.array - scan.array.mean()) / scan.array.std(), "a normalised CT"),
        (scan.array.astype(np.int32) - 1024, "rescale was applied twice"),
        (np.full(scan.array.shape, -1000, np.int16), "the value -1000 everywhere"),
        (np.random.default_rng(0).normal(-1000, 5, scan.array.shape), "hardly any soft tissue"),
        (phantom.structures.labels.array, "like a label map"),
    ):
        with pytest.raises(BadInput, match=words):
            check_scan(changed(scan, array), "the scan")


def test_one_slice_is_refused_and_two_raise_a_warning(phantom: PhantomCase) -> None:
    grid, middle = phantom.scan.geometry, 22
    for slices in (1, 2):
        part = Volume(phantom.scan.array[middle : middle + slices], replace(grid, shape=(slices, *grid.shape[1:])))
        if slices == 1:
            with pytest.raises(BadInput, match="a single slice"):
                check_scan(part, "the scan")
        else:
            assert any("8 mm along the patient (2 slices)" in sentence for sentence in check_scan(part, "the scan"))


def test_thick_slices_raise_a_warning(phantom: PhantomCase) -> None:
    grid = phantom.scan.geometry
    warned(Volume(phantom.scan.array, replace(grid, spacing=(5.0, 3.0, 3.0))), THICK)


def head() -> Volume:
    """Return a skull of 150 by 190 mm around water, in air."""
    geometry = Geometry((50, 90, 90), (4.0, 3.0, 3.0))
    z, y, x = np.indices(geometry.shape) - np.array([25, 45, 45]).reshape(3, 1, 1, 1)
    radius = np.sqrt((z * 4 / 95) ** 2 + (y * 3 / 95) ** 2 + (x * 3 / 75) ** 2)
    hu = np.where(radius < 1.04, -30, -1000)  # the scalp's fat
    hu = np.where(radius < 1, 1100, hu)
    return Volume(np.where(radius < 0.9, 35, hu).astype(np.int16), geometry)


def test_a_head_and_a_leg_have_no_hips(phantom: PhantomCase) -> None:
    warned(head(), HIPS)
    leg = np.where(np.arange(128) < 40, phantom.scan.array, -1000)
    assert any(HIPS in sentence for sentence in check_scan(changed(phantom.scan, leg), "the scan"))


@pytest.mark.parametrize("hu", [2500, 3071], ids=["at the limit of metal", "where a scanner clips"])
def test_a_hip_implant_is_distinguished_from_an_applicator(phantom: PhantomCase, hu: int) -> None:
    """The metal of an applicator is near the midline; the same metal in a femoral head is an implant."""
    array = phantom.scan.array.copy()
    hip = np.argwhere(phantom.organs.mask("hip_left"))
    z, y, x = hip[np.abs(hip - hip.mean(axis=0)).sum(axis=1).argmin()]
    array[z - 4 : z + 4, y - 3 : y + 3, x - 3 : x + 3] = hu
    warned(changed(phantom.scan, array), "probably an implant")


def test_a_contrast_agent_shows_in_the_bladder_or_the_header(phantom: PhantomCase) -> None:
    array = phantom.scan.array.copy()
    array[phantom.structures.mask("bladder")] += 300
    warned(changed(phantom.scan, array), "contrast agent")
    warned(phantom.scan, "contrast agent", agent="Ultravist 300")
    warned(phantom.scan, agent="NONE")


@pytest.fixture(scope="module")
def real_data() -> Path:
    folder = Path(__file__).parents[3].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real scans are not at {folder}")
    return folder


def test_real_pelves_raise_no_false_alarm(real_data: Path) -> None:
    warned(read_ct_series(real_data / "acrin_flt_breast_001").volume)
    total = real_data / "totalsegmentator_example"
    warned(read_volume(total / "Totalsegmentator_dataset/s0000/ct.nii.gz"), "probably an implant")


def test_real_scans_of_other_body_regions_raise_warnings(real_data: Path) -> None:
    """An abdomen with contrast in slices of 5 mm, one of 40 mm, and limbs without further warnings."""
    warned(read_ct_series(real_data / "crlm_ct_1006").volume, HIPS, THICK, "contrast agent")
    warned(read_ct_series(real_data / "totalsegmentator_example" / "CT").volume, HIPS, SHORT)
    for limb in sorted((real_data / "sts").glob("STS_*"))[:4]:
        warned(read_ct_series(limb).volume, HIPS)
