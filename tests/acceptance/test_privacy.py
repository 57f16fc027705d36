"""No name, PatientID or birth date in what is printed, in names of files, or in a pseudonymised cohort."""

import gzip
from pathlib import Path

import pydicom
import pytest

from gynbtnet.datasets import Cohort

from .test_bad_input import write_contours, write_ct

SECRETS = ("Roe", "ROE", "Hospital-4711", "4711", "19580317", "1958")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Two fractions of one patient and one of another, with what identifies them."""
    for number, patient in enumerate(("Hospital-4711", "Hospital-4711", "Hospital-47110")):
        folder = tmp_path / "export" / f"scan{number}"
        write_contours(write_ct(folder / "CT", seed=number, patient=patient), folder / "RS.dcm")
        for path in folder.rglob("*.dcm"):
            dataset = pydicom.dcmread(path)
            dataset.PatientName, dataset.PatientBirthDate = "ROE^Jane", "19580317"
            dataset.save_as(path)
    return tmp_path / "export"


def betrayals(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


def contents(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("latin-1")


def test_nothing_printed_or_named_betrays_a_patient(
    gynbtnet, export: Path, tmp_path: Path, untrained_model: Path
) -> None:
    (tmp_path / "damaged" / "scan").mkdir(parents=True)
    slices = sorted((export / "scan0" / "CT").iterdir())
    for number, path in enumerate(slices):
        if number != 4:
            (tmp_path / "damaged" / "scan" / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "out"
    bladder = ("--structures", "bladder")
    commands = [
        ("inspect", export, "--out", out / "seen.png"),
        ("inspect", tmp_path / "damaged", "--out", out / "damaged.png"),
        ("convert", export / "scan0", "--out", out / "scan.nii.gz"),
        ("convert", export / "scan0" / "RS.dcm", "--ct", export / "scan0", "--out", out / "labels.nii.gz"),
        ("convert", export / "scan0" / "RS.dcm", "--ct", export / "scan1", "--out", out / "wrong.nii.gz"),
        ("ingest", export, "--out", out / "cohort", *bladder),
        ("ingest", export, "--out", out / "folders", *bladder, "--patient-id-from", "folder"),
        ("ingest", export, "--out", out / "lacking", "--structures", "bladder,sigmoid"),
        ("ingest", tmp_path / "damaged", "--out", out / "scans", "--layout", "scans"),
        ("split", out / "cohort", "--out", out / "split.json", "--test", "1", "--folds", "1"),
        ("predict", untrained_model, export / "scan0", "--out", out / "contours"),
        ("predict", untrained_model, tmp_path / "damaged", "--out", out / "contours"),
    ]
    codes = []
    for arguments in commands:
        result = gynbtnet(*arguments)
        codes.append(result.code)
        assert betrayals((result.out + result.err).replace(str(tmp_path), "")) == [], arguments
    assert codes == [0, 1, 0, 0, 2, 0, 0, 2, 2, 2, 0, 2]
    assert [path for path in out.rglob("*") if betrayals(str(path.relative_to(out)))] == []


def test_a_pseudonymised_cohort_holds_nothing_that_leads_back(gynbtnet, export: Path, tmp_path: Path) -> None:
    key, out = tmp_path / "safe" / "key.csv", tmp_path / "cohort"
    arguments = ("ingest", export, "--out", out, "--structures", "bladder", "--pseudonymise", key)
    assert gynbtnet(*arguments).code == 0
    cohort = Cohort.load(out)
    assert [case.id for case in cohort.cases] == ["patient-001_f1", "patient-001_f2", "patient-002_f1"]
    assert key.read_text().splitlines() == [
        "study_id,patient",
        "patient-001,Hospital-4711",
        "patient-002,Hospital-47110",
    ]
    for path in out.rglob("*"):
        if path.is_file():
            text = contents(path)
            assert betrayals(text) == [], path
            assert str(export) not in text, path
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    assert gynbtnet(*arguments).code == 0  # what stands is kept
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")} == before
