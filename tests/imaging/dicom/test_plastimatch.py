"""RTSTRUCTs that plastimatch rasterises: within one layer of boundary voxels of our mask, at the right position."""

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, generate_binary_structure

from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume

TOOL = shutil.which("plastimatch", path=sysconfig.get_path("scripts")) or shutil.which("plastimatch")
IN_PLANE = generate_binary_structure(2, 2)[None]  # a voxel and its eight neighbours on the slice

pytestmark = pytest.mark.skipif(TOOL is None, reason="plastimatch (PyPI) is not installed")


def rasterised(rtstruct: Path, ct: Path, roi: str, out: Path) -> Volume:
    command = [TOOL, "convert", "--input", rtstruct, "--referenced-ct", ct, "--output-prefix", out]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    (found,) = (path for path in out.iterdir() if roi in path.name)
    return read_volume(found)


def compare(mask: np.ndarray, geometry: Geometry, theirs: Volume) -> None:
    """Check that their mask, reordered by position, is between ours eroded and dilated by one layer."""
    positions = geometry.to_world(np.moveaxis(np.indices(mask.shape), 0, -1))
    index = np.rint(theirs.geometry.to_index(positions)).astype(int)
    inside = ((index >= 0) & (index < theirs.array.shape)).all(axis=-1)
    assert inside.all()
    found = theirs.array[tuple(np.moveaxis(index, -1, 0))] > 0
    assert not (found & ~binary_dilation(mask, IN_PLANE)).any()
    assert not (binary_erosion(mask, IN_PLANE) & ~found).any()
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.8


def blob(shape: tuple[int, int, int]) -> np.ndarray:
    """Return an asymmetric mask with a hole and an island, which is different in every orientation."""
    mask = np.zeros(shape, np.uint8)
    mask[1:4, 4:20, 5:15], mask[2:4, 4:9, 15:24], mask[1:3, 8:13, 8:12], mask[1, 23:28, 20:28] = 1, 1, 0, 1
    return mask


@pytest.fixture
def synthetic(tmp_path, write_series, names):
    """Return a CT, its mask, and a function with which plastimatch rasterises the RTSTRUCT made from it."""
    geometry = Geometry((6, 32, 36), (3.0, 0.9, 0.8), (-10.5, 20.25, -30.0))
    ct = write_series(Volume(np.zeros(geometry.shape, np.int16), geometry), tmp_path / "ct")
    mask = blob(geometry.shape)
    drawn = Segmentation(Volume(mask, ct.volume.geometry), ("bladder",))
    metadata: dict[str, Any] = {"names": names, "label": "test", "description": "test", "software_version": "0"}

    def theirs(**options: Any) -> Volume:
        write_rtstruct(drawn, ct, tmp_path / "RS.dcm", **metadata, **options)
        return rasterised(tmp_path / "RS.dcm", tmp_path / "ct", "Bladder", tmp_path / "out")

    return mask > 0, ct.volume.geometry, theirs


@pytest.mark.parametrize("contour_style", ["smooth", "exact"])
def test_a_synthetic_structure(synthetic, contour_style):
    mask, geometry, theirs = synthetic
    compare(mask, geometry, theirs(contour_style=contour_style))


def test_inner_contours_are_filled_which_is_why_keyholes_are_the_default(synthetic):
    mask, geometry, theirs = synthetic
    filled = mask.copy()
    filled[1:3, 8:13, 8:12] = True
    compare(filled, geometry, theirs(hole_style="inner"))


@pytest.mark.parametrize("number", [0, 1, 25])
def test_a_real_structure(public_data, tmp_path, names, number):
    patient = sorted((public_data / "sts").glob("STS_*"))[number]
    ct = read_ct_series(patient / "CT")
    drawn, _ = read_rtstruct(patient / "RS.dcm", ct, ("GTV_Mass_CT",), names)
    metadata: dict[str, Any] = {"label": "test", "description": "test", "software_version": "0"}
    write_rtstruct(drawn, ct, tmp_path / "RS.dcm", names=names, **metadata)
    theirs = rasterised(tmp_path / "RS.dcm", patient / "CT", "GTV_Mass_CT", tmp_path / "out")
    compare(drawn.mask("GTV_Mass_CT"), ct.volume.geometry, theirs)
