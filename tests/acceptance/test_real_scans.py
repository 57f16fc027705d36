"""The main job on public, de-identified scans, shortened to a few steps."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from gynbtnet.datasets import Cohort, Split
from gynbtnet.imaging import StructureNames, read_ct_series, read_rtstruct, read_volume

SHORT = {
    "training.epochs": 1,
    "training.steps_per_epoch": 1,
    "training.validation_patches": 1,
    "plan.spacing": [6, 6, 6],
}
CHANGES = [f"{stage}.{key}={value}" for stage in ("pretraining", "supervised", "task") for key, value in SHORT.items()]
PATIENTS = ("STS_003", "STS_044", "STS_010", "STS_025")


@pytest.mark.slow
def test_the_real_run_shortened(gynbtnet, real_data: Path, tmp_path: Path) -> None:
    sarcomas = tmp_path / "sts"
    sarcomas.mkdir()
    for patient in PATIENTS:
        (sarcomas / patient).symlink_to(real_data / "sts" / patient)
    changes = [*CHANGES, "split.test=2", "split.folds=2", "prediction.overlap=0"]
    out = tmp_path / "out"
    result = gynbtnet(
        *("run", "real_small", "--out", out, "--cohort", sarcomas),
        *("--unlabelled", real_data / "acrin_flt_breast_001", "--unlabelled", real_data / "crlm_ct_1006"),
        *("--supervised", real_data / "totalsegmentator_example" / "Totalsegmentator_dataset"),
        *("--predict", real_data / "acrin_flt_breast_001"),
        *(word for change in changes for word in ("--set", change)),
    )
    assert result.code == 0, result.err

    cohort, split = Cohort.load(out / "cohorts" / "task"), Split.load(out / "split.json")
    assert len(cohort.patients) == len(PATIENTS)
    assert not cohort.synthetic
    for case in cohort.cases:
        published = sitk.GetArrayFromImage(sitk.ReadImage(case.source.rtstruct.parent / "reference_mask.nii.gz"))
        assert np.array_equal(read_volume(case.labels).array, published)
    assert len(Cohort.load(out / "cohorts" / "pretraining").cases) == len(PATIENTS) - 2 + 2
    assert len(Cohort.load(out / "cohorts" / "supervised").structures) == 104

    for case in cohort.of_patients(split.test).cases:
        prediction = out / "predictions" / "test" / case.id
        ct = read_ct_series(case.source.ct_folder, case.source.series_uid)
        structures = pydicom.dcmread(prediction / "RS.dcm")
        slices = {
            str(image.ReferencedSOPInstanceUID)
            for roi in structures.ROIContourSequence
            for contour in getattr(roi, "ContourSequence", [])
            for image in contour.ContourImageSequence
        }
        assert slices <= {image.sop_instance_uid for image in ct.slices}
        manifest = json.loads((prediction / "prediction.json").read_text())
        if not manifest["missing"]:
            read, _ = read_rtstruct(prediction / "RS.dcm", ct, cohort.structures, StructureNames.load())
            assert np.array_equal(read.labels.array, read_volume(prediction / "labels.nii.gz").array)

    (pelvis,) = Cohort.load(out / "cohorts" / "further").cases
    labels = read_volume(out / "predictions" / "further" / pelvis.id / "labels.nii.gz")
    assert labels.geometry.shape == (99, 512, 512)
    assert (out / "predictions" / "further" / pelvis.id / "RS.dcm").is_file()
    page = (out / "report.html").read_text()
    assert "Synthetic data" not in page
    assert "10.7937/K9/TCIA.2015.7GO2GSKS" in page
