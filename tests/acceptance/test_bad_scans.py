"""Scans that are no CT of a pelvis, through `gynbtnet predict`: a warning wherever it is read, or one sentence."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from gynbtnet.datasets import Cohort
from gynbtnet.imaging import Volume, write_ct_series, write_volume
from gynbtnet.phantom import PhantomCase, pelvic_geometry, phantom_case, write_clinic_fraction

from .test_bad_input import refused

QUICK = ("--recipe", "smoke")


@pytest.fixture(scope="module")
def phantom() -> PhantomCase:
    return phantom_case(0, 0, 0, pelvic_geometry((6.0, 5.0, 5.0), (30, 60, 80)))


def as_dicom(scan: Volume, folder: Path) -> list[Path]:
    words = {"study_description": "SYNTHETIC", "series_description": "SYNTHETIC"}
    return list(write_ct_series(scan, folder, patient_id="PHANTOM", seed=1, **words).files)


def slices(scan: Volume, count: int) -> Volume:
    grid = scan.geometry
    return Volume(scan.array[14 : 14 + count], replace(grid, shape=(count, *grid.shape[1:])))


def predicted(gynbtnet, model: Path, path: Path, out: Path, *words: str) -> Path:
    """Return the folder of a prediction; check that each of ``words`` is in a warning of console and manifest."""
    result = gynbtnet("predict", *QUICK, model, path, "--out", out)
    assert result.code == 0, result.err
    assert "Traceback" not in result.err
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    warnings = json.loads((folder / "prediction.json").read_text())["warnings"]
    for word in words:
        assert word in result.err
        assert any(word in warning for warning in warnings), warnings
    assert (folder / "preview.png").stat().st_size > 10_000
    return folder


@pytest.mark.slow
def test_two_slices_six_mm_apart(gynbtnet, phantom: PhantomCase, untrained_model: Path, tmp_path: Path) -> None:
    as_dicom(slices(phantom.scan, 2), tmp_path / "ct")
    out = predicted(gynbtnet, untrained_model, tmp_path / "ct", tmp_path / "out", "2 slices", "spacing is 6 mm")
    assert (out / "RS.dcm").is_file()


def test_no_pelvis(gynbtnet, phantom: PhantomCase, untrained_model: Path, tmp_path: Path) -> None:
    leg = np.where(np.arange(80) < 25, phantom.scan.array, -1000).astype(np.int16)
    write_volume(replace(phantom.scan, array=leg), tmp_path / "leg.nii.gz")
    predicted(gynbtnet, untrained_model, tmp_path / "leg.nii.gz", tmp_path / "out", "No hip joints were found")


@pytest.mark.slow
def test_a_contrast_agent_and_an_implant(gynbtnet, phantom: PhantomCase, untrained_model: Path, tmp_path: Path) -> None:
    array = phantom.scan.array.copy()
    hip = np.argwhere(phantom.organs.mask("hip_left"))
    z, y, x = hip[np.abs(hip - hip.mean(axis=0)).sum(axis=1).argmin()]
    array[z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3] = 3071
    for path in as_dicom(replace(phantom.scan, array=array), tmp_path / "ct"):
        header = pydicom.dcmread(path)
        header.ContrastBolusAgent = "Iodine"
        header.save_as(path)
    words = ("contrast agent", "probably an implant")
    predicted(gynbtnet, untrained_model, tmp_path / "ct", tmp_path / "out", *words)


def test_hu_that_were_never_made(gynbtnet, phantom: PhantomCase, untrained_model: Path, tmp_path: Path) -> None:
    """A DICOM whose intercept was lost, and a NIfTI of stored values."""
    for path in as_dicom(phantom.scan, tmp_path / "ct"):
        header = pydicom.dcmread(path)
        header.RescaleIntercept = 0
        header.save_as(path)
    stored = (phantom.scan.array.astype(np.int32) + 1024).astype(np.uint16)
    write_volume(replace(phantom.scan, array=stored), tmp_path / "stored.nii.gz")
    for name in ("ct", "stored.nii.gz"):
        result = gynbtnet("predict", *QUICK, untrained_model, tmp_path / name, "--out", tmp_path / "out")
        refused(result, "without its rescale", "subtract 1024", name)
    assert not list((tmp_path / "out").glob("*/*"))


def test_an_mr_and_nothing_at_all(gynbtnet, phantom: PhantomCase, untrained_model: Path, tmp_path: Path) -> None:
    for path in as_dicom(phantom.scan, tmp_path / "mr"):
        header = pydicom.dcmread(path)
        header.Modality, header.SOPClassUID = "MR", pydicom.uid.MRImageStorage
        header.save_as(path)
    ramp = np.linspace(0.5, 1.5, 80, dtype=np.float32)
    write_volume(replace(phantom.scan, array=(phantom.scan.array + 1024) / 8 * ramp), tmp_path / "mr.nii.gz")
    write_volume(replace(phantom.scan, array=np.full(phantom.scan.array.shape, -1000)), tmp_path / "air.nii.gz")
    for name, words in (("mr", "found: MR"), ("mr.nii.gz", "like an MR"), ("air.nii.gz", "-1000 everywhere")):
        refused(gynbtnet("predict", *QUICK, untrained_model, tmp_path / name, "--out", tmp_path / "out"), words)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_folder_of_good_and_bad_ones(gynbtnet, phantom: PhantomCase, untrained_model: Path, tmp_path: Path) -> None:
    """Good scans are predicted, bad ones are listed, and the same command continues with these only."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    as_dicom(slices(phantom.scan, 12), scans / "A" / "CT")
    write_volume(slices(phantom.scan, 12), scans / "B.nii.gz")
    write_volume(slices(replace(phantom.scan, array=phantom.scan.array.clip(0)), 12), scans / "C.nii.gz")
    (scans / "D.nrrd").write_text("no scan")
    forms = ("--output", "nifti", "--output", "rtstruct", "--output", "seg")
    result = gynbtnet("predict", *QUICK, untrained_model, scans, "--out", out, *forms)
    assert result.code == 1
    assert "Traceback" not in result.err
    assert "3 of 4 scans failed and the others are done" in result.err
    assert "B: " in result.err and "B.nii.gz is not a DICOM series" in result.err
    result = gynbtnet("predict", *QUICK, untrained_model, scans, "--out", out, "--force")
    assert result.code == 1
    assert "2 of 4 scans failed" in result.err
    files = {path.name: sorted(file.name for file in path.iterdir()) for path in out.iterdir() if path.is_dir()}
    image = ["labels.nii.gz", "patient.html", "prediction.json", "preview.png"]
    assert files == {"patient-001_f1": ["RS.dcm", *image], "B": image}


def test_what_a_nifti_can_not_have(gynbtnet, phantom: PhantomCase, untrained_model: Path, tmp_path: Path) -> None:
    write_volume(slices(phantom.scan, 12), tmp_path / "scan.nii.gz")
    for form in ("rtstruct", "seg"):
        result = gynbtnet(
            "predict", *QUICK, untrained_model, tmp_path / "scan.nii.gz", "-o", tmp_path / "out", "--output", form
        )
        refused(result, "not a DICOM series", "ask for nifti only")


def test_a_model_that_is_none(gynbtnet, untrained_model: Path, tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_text("<html>Sign in</html>")
    refused(
        gynbtnet("predict", tmp_path / "page.zip", tmp_path, "--out", tmp_path / "out"), "web page and not a zip file"
    )
    assert gynbtnet("export", untrained_model, tmp_path / "model.zip", "--to", "zip").code == 0
    archive = (tmp_path / "model.zip").read_bytes()
    (tmp_path / "model.zip").write_bytes(archive[:-1000])
    refused(gynbtnet("predict", tmp_path / "model.zip", tmp_path, "--out", tmp_path / "out"), "truncated")


@pytest.mark.slow
def test_a_real_pelvis_from_a_zip(gynbtnet, real_data: Path, untrained_model: Path, tmp_path: Path) -> None:
    assert gynbtnet("export", untrained_model, tmp_path / "model.zip", "--to", "zip").code == 0
    path = real_data / "totalsegmentator_example" / "Totalsegmentator_dataset" / "s0000" / "ct.nii.gz"
    folder = predicted(gynbtnet, tmp_path / "model.zip", path, tmp_path / "out", "probably an implant")
    manifest = json.loads((folder / "prediction.json").read_text())
    assert manifest["model"]["name"] == "model.zip"
    assert [
        warning for warning in manifest["warnings"] if "implant" not in warning and "Nothing was" not in warning
    ] == []


def short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def two_sets(patient: Path) -> None:
    second = pydicom.dcmread(patient / "RS.dcm")
    second.SOPInstanceUID = pydicom.uid.generate_uid()
    second.save_as(patient / "RS2.dcm")


def without_modality(path: Path) -> None:
    header = pydicom.dcmread(path)
    del header.Modality
    header.save_as(path)


@pytest.fixture(scope="module")
def three_patients(phantom: PhantomCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three") / "export"
    for number in (1, 2, 3):
        noise = np.random.default_rng(number).integers(-5, 5, phantom.scan.array.shape)
        scan = slices(replace(phantom.scan, array=(phantom.scan.array + noise).astype(np.int16)), 8)
        drawn = phantom.structures.labels
        labels = replace(phantom.structures, labels=replace(scan, array=drawn.array[14:22]))
        case = replace(phantom, scan=scan, structures=labels, dose=None)
        write_clinic_fraction(case, folder / f"p{number}", patient_id=f"P{number}", fraction=1, seed=number)
    return folder


def patients_in(out: Path) -> set[str]:
    """Return the patients whose first scan was predicted, by the key next to the predictions."""
    with (out / "patients.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["patient"].lower() for row in rows if (out / f"{row['study_id']}_f1" / "prediction.json").is_file()}


@pytest.mark.parametrize(
    ("harm", "name", "seen", "predicted_patients"),
    [
        pytest.param(
            lambda p2: short(sorted((p2 / "CT").iterdir())[-1]),
            ".dcm can't be parsed as DICOM",
            1,
            {"p1", "p3"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda p2: without_modality(sorted((p2 / "CT").iterdir())[0]),
            "has no Modality; its",
            1,
            {"p1", "p3"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda p2: short(p2 / "RS.dcm"),
            "RS.dcm can't be parsed",
            1,
            {"p1", "p2", "p3"},
            marks=pytest.mark.slow,
        ),
        (two_sets, "are both drawn on one CT", 1, {"p1", "p2", "p3"}),
        (lambda p2: shutil.rmtree(p2 / "CT"), "RS.dcm refers to a CT series that is not in", 1, {"p1", "p3"}),
    ],
)
def test_one_bad_file_among_three_patients(
    gynbtnet, three_patients: Path, untrained_model: Path, tmp_path: Path, harm, name, seen, predicted_patients
) -> None:
    """Each command takes the others, lists the file and ends with exit code 1."""
    export = shutil.copytree(three_patients, tmp_path / "export")
    harm(export / "p2")
    take = ("ingest", export, "--out", tmp_path / "cohort", "--structures", "bladder")
    for arguments in ((*take, "--dry-run"), take):
        result = gynbtnet(*arguments)
        assert (result.code, "Traceback" in result.err) == (1, False)
        assert name in result.err
    folders = {Path(case.source.ct_folder or "").parent.name for case in Cohort.load(tmp_path / "cohort").cases}
    assert folders == {"p1", "p3"}
    result = gynbtnet("inspect", export, "--out", tmp_path / "seen.png")
    assert result.code == seen, result.err
    assert all(f"p{number}/RS.dcm" in result.out for number in (1, 3))
    result = gynbtnet("predict", *QUICK, untrained_model, export, "--out", tmp_path / "out", "--output", "nifti")
    assert patients_in(tmp_path / "out") == predicted_patients
    complete = predicted_patients == {"p1", "p2", "p3"} and name != "RS.dcm can't be parsed"
    gone = name.startswith("RS.dcm refers")  # to predict, a structure set without a CT is nothing
    assert result.code == (0 if complete or gone else 1), result.err
    assert "Traceback" not in result.err


def test_one_bad_input_of_several(gynbtnet, three_patients: Path, untrained_model: Path, tmp_path: Path) -> None:
    export = shutil.copytree(three_patients, tmp_path / "export")
    short(sorted((export / "p2" / "CT").iterdir())[3])
    inputs = [export / f"p{number}" for number in (1, 2, 3)]
    result = gynbtnet("predict", *QUICK, untrained_model, *inputs, "--out", tmp_path / "out", "--output", "nifti")
    assert result.code == 1
    assert "1 of 3 scans failed" in result.err
    assert patients_in(tmp_path / "out") == {"p1", "p3"}
