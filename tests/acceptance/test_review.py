"""`gynbtnet review` on the command line."""

import json
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest

from gynbtnet.imaging import Volume, read_ct_series, read_volume, write_rtdose
from gynbtnet.review import find_predictions

from .test_bad_input import refused, write_contours, write_ct


@pytest.fixture
def prediction(gynbtnet, tmp_path: Path, untrained_model: Path) -> Path:
    """Return the prediction of a DICOM scan by an untrained model."""
    write_ct(tmp_path / "scan" / "CT")
    assert gynbtnet("predict", untrained_model, tmp_path / "scan", "--out", tmp_path / "out").code == 0
    (item,) = find_predictions(tmp_path / "out")
    return item.folder


def test_measured_edits(gynbtnet, prediction: Path, tmp_path: Path) -> None:
    ct = read_ct_series(tmp_path / "scan")
    write_contours(ct, tmp_path / "TPS.dcm")
    dose = Volume(np.full(ct.volume.geometry.shape, 6, np.float32), ct.volume.geometry)
    write_rtdose(dose, ct, tmp_path / "scan" / "RD.dcm", description="SYNTHETIC")
    result = gynbtnet("review", prediction, "--edited", tmp_path / "TPS.dcm", "--out", tmp_path / "review.json")
    assert result.code == 0, result.err
    assert re.search(r"Bladder +D0\.1cc .* 6\.00 ", result.out), "the dose next to the scan's folder is 6 Gy everywhere"
    structures = json.loads((tmp_path / "review.json").read_text())["structures"]
    number = json.loads((prediction / "prediction.json").read_text())["structures"].index("bladder") + 1
    before = read_volume(prediction / "labels.nii.gz").array == number
    after = np.zeros_like(before)
    after[2:4, 8:16, 8:16] = True
    correction = structures["bladder"]["correction"]
    assert correction["voxels_added"] == (after & ~before).sum()
    assert correction["voxels_removed"] == (before & ~after).sum()
    others = {review["status"] for name, review in structures.items() if name != "bladder"}
    assert others <= {"missing"}
    assert not (prediction / "review").exists(), "measuring leaves the prediction as it was"
    refused(
        gynbtnet("review", prediction, "--edited", tmp_path / "TPS.dcm", "--out", tmp_path / "review.json"),
        "already exists",
    )


def test_bad_input(gynbtnet, prediction: Path, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "other" / "CT", seed=5)
    write_contours(ct, tmp_path / "other.dcm")
    refused(gynbtnet("review", prediction, "--edited", tmp_path / "other.dcm"), "another frame of reference")
    refused(gynbtnet("review", prediction, "--edited", prediction / "labels.nii.gz"), "labels.nii.gz")
    refused(gynbtnet("review", prediction, "--edited", tmp_path / "absent.dcm"), "absent.dcm")
    refused(gynbtnet("review", prediction, "--edited", tmp_path / "other.dcm", "--approve", "A"), "only measures")
    refused(gynbtnet("review", prediction, "--out", tmp_path / "x"), "--edited")
    refused(gynbtnet("review", tmp_path / "scan"), "contains no prediction")
    refused(gynbtnet("review", prediction, "--reference", tmp_path, "--no-browser"), "cohort")
    refused(gynbtnet("review", prediction, "--dose", tmp_path / "none.dcm", "--no-browser"), "none.dcm")
    first = sorted((tmp_path / "scan" / "CT").iterdir())[0]
    header = pydicom.dcmread(first)
    header.PatientComments = "changed"
    header.save_as(first)
    refused(gynbtnet("review", prediction, "--no-browser"), "changed since")
    assert not (prediction / "review").exists()
