"""Doses of a DICOM folder of one patient, and patients by their PatientID."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from gynbtnet.cli import app
from gynbtnet.datasets import Cohort, ingest
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.runtime import BadInput


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "phantom"
    write_brachytherapy(folder, patients=2, fractions=2, spacing=(6.0, 4.0, 4.0), matrix=(30, 66, 78))
    return folder


@pytest.fixture(scope="module")
def cohort(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return ingest(exported, tmp_path_factory.mktemp("cohort") / "cohort", structures=("hr_ctv", "bladder")).cohort


def dose(folder: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["dose", str(folder), "--out", str(out), *options])


@pytest.mark.slow
def test_a_folder_of_one_patient_gives_the_doses_of_its_cohort(exported: Path, cohort: Cohort, tmp_path: Path) -> None:
    beams = tmp_path / "beams.csv"
    beams.write_text("patient,dose_gy,fractions\nPHANTOM-001,45,25\n")
    options = ("--external-beam", str(beams), "--prescription", "7")
    assert dose(exported / "PHANTOM-001", tmp_path / "folder", *options).exit_code == 0
    patients = pd.read_csv(tmp_path / "folder" / "patients.csv")
    assert list(patients.columns[:4]) == ["patient", "contours", "HR-CTV D90", "HR-CTV D98"]
    assert list(patients["patient"]) == ["patient-001"]
    assert patients["HR-CTV D90"][0].endswith(" (limit missed)")
    page = (tmp_path / "folder" / "report.html").read_text(encoding="utf-8")
    assert patients["HR-CTV D90"][0].removesuffix(" (limit missed)") in page
    assert 'title="limit missed"' in page
    assert "V150 (%)" in page
    whole = (*options, "--patient", "PHANTOM-001")
    assert dose(cohort.folder, tmp_path / "cohort", *whole).exit_code == 0
    ours, theirs = (
        pd.read_csv(tmp_path / name / "dose.csv").set_index(["case", "structure", "metric"])["manual_gy"]
        for name in ("folder", "cohort")
    )
    assert ours[theirs.index].to_numpy() == pytest.approx(theirs.to_numpy())
    assert {"rectum", "sigmoid"} < set(ours.index.get_level_values("structure"))


def test_a_course_that_is_not_finished_is_not_judged(exported: Path, tmp_path: Path) -> None:
    options = ("--external-beam", "45/25", "--course-fractions", "4")
    assert dose(exported / "PHANTOM-002", tmp_path / "dose", *options).exit_code == 0
    totals = pd.read_csv(tmp_path / "dose" / "eqd2.csv")
    assert set(totals["manual_verdict"].dropna()) == {"not judged"}
    assert totals["note"].str.contains("2 of 4 fractions of the course").all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--patient", "nobody"), "The patient is not in the cohort"),
        (("--external-beam", "unknown.csv"), "Row 2 of unknown.csv lists a patient who is not in the cohort"),
    ],
)
def test_unknown_patients(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("unknown.csv").write_text("patient,dose_gy,fractions\nPHANTOM-999,45,25\n")
    ended = dose(cohort.folder, tmp_path / "dose", *options)
    assert isinstance(ended.exception, BadInput)
    assert words in str(ended.exception)
    assert "nobody" not in str(ended.exception)
    assert "PHANTOM-999" not in str(ended.exception)


def test_a_folder_without_contours(tmp_path: Path) -> None:
    ended = dose(tmp_path, tmp_path / "dose")
    assert isinstance(ended.exception, BadInput)
    assert "has no RTSTRUCT with a structure of a known name" in str(ended.exception)
