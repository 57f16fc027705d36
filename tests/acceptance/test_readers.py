"""Predictions of a cohort are scored and dosed without renaming; predictions alone are never manual contours."""

from pathlib import Path

import pytest

from gynbtnet.datasets import Cohort, ingest
from gynbtnet.evaluation import DoseEvaluation
from gynbtnet.phantom import write_brachytherapy


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clinic") / "export"
    write_brachytherapy(folder, patients=2, fractions=1, spacing=(12, 10, 10), matrix=(16, 32, 40))
    return folder


@pytest.fixture(scope="module")
def cohort(export: Path) -> Cohort:
    return ingest(export, export.with_name("cohort"), structures=("bladder",)).cohort


@pytest.mark.slow
def test_predict_evaluate_and_dose_fit_together(
    gynbtnet, cohort: Cohort, untrained_model: Path, tmp_path: Path
) -> None:
    predictions = tmp_path / "predictions"
    done = gynbtnet("predict", "--recipe", "smoke", untrained_model, cohort.folder, "--out", predictions)
    assert done.code == 0, done.err
    assert sorted(path.name for path in predictions.iterdir()) == sorted(case.id for case in cohort.cases)
    assert all((predictions / case.id / "RS.dcm").is_file() for case in cohort.cases)
    by_id = gynbtnet("evaluate", predictions, cohort.folder, "--out", tmp_path / "scores")
    assert by_id.code == 0, by_id.err
    for number, folder in enumerate(sorted(predictions.iterdir())):
        folder.rename(predictions / f"scan {number}")
    by_scan = gynbtnet("evaluate", predictions, cohort.folder, "--out", tmp_path / "again")
    assert by_scan.code == 0, by_scan.err
    scores = [(tmp_path / name / "scores.csv").read_bytes() for name in ("scores", "again")]
    assert scores[0] == scores[1]
    for folder in predictions.iterdir():
        (folder / "labels.nii.gz").unlink()  # only the RTSTRUCT is left
    structures = gynbtnet("evaluate", predictions, cohort.folder, "--out", tmp_path / "rtstructs")
    assert structures.code == 0, structures.err
    assert (tmp_path / "rtstructs" / "report.html").is_file()
    dosed = gynbtnet("dose", cohort.folder, "--predictions", predictions, "--out", tmp_path / "dose")
    assert dosed.code == 0, dosed.err


@pytest.mark.slow
def test_doses_of_predictions_alone_are_automatic(
    gynbtnet, export: Path, untrained_model: Path, tmp_path: Path
) -> None:
    scan = export / "PHANTOM-001" / "fraction-1"
    done = gynbtnet("predict", "--recipe", "smoke", untrained_model, scan, "--out", tmp_path / "predictions")
    assert done.code == 0, done.err
    patient = tmp_path / "patient"
    patient.mkdir()
    (patient / "CT").symlink_to(scan / "CT")
    (patient / "RD.dcm").symlink_to(scan / "RD.dcm")
    (patient / "RS.dcm").write_bytes((tmp_path / "predictions" / "patient-001_f1" / "RS.dcm").read_bytes())
    ingested = gynbtnet("ingest", patient, "--out", tmp_path / "cohort", "--structures", "bladder")
    assert ingested.code == 0, ingested.err
    dosed = gynbtnet("dose", tmp_path / "cohort", "--out", tmp_path / "dose")
    assert dosed.code == 0, dosed.err
    assert "The contours of 1 of 1 case are predictions of GynBTNet" in " ".join(dosed.out.split())
    scores = DoseEvaluation.load(tmp_path / "dose").scores
    assert scores and all(score.manual_note == "no contour" for score in scores)
    assert any(score.automatic_gy > 0 for score in scores)
    for command in (
        ("evaluate", tmp_path / "predictions", tmp_path / "cohort"),
        ("prepare", tmp_path / "cohort", untrained_model),
    ):
        refused = gynbtnet(*command, "--out", tmp_path / command[0])
        assert (refused.code, (tmp_path / command[0]).exists()) == (2, False)
        assert "predicted by GynBTNet and nobody has approved" in " ".join(refused.err.split())
        allowed = gynbtnet(*command, "--out", tmp_path / command[0], "--allow-automatic")
        assert allowed.code == 0, allowed.err
