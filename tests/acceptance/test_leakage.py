"""No held-out patient's scan is used in training, in any combination of the commands."""

import shutil
from pathlib import Path

import pydicom
import pytest

from gynbtnet.datasets import Cohort, Split, ingest
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.preparation import PreparedCohort
from gynbtnet.training import stages

from .conftest import exit_code

STRUCTURES = "hr_ctv,bladder,rectum,sigmoid,uterus"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_brachytherapy(folder, patients=4, fractions=1, spacing=(6, 5, 5), matrix=(32, 64, 80), seed=3)
    return folder


@pytest.fixture(scope="module")
def steps(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort whose every patient was prepared, before anybody was held out."""
    folder = tmp_path_factory.mktemp("steps")
    for arguments in (
        ("ingest", export, "--out", folder / "cohort", "--structures", STRUCTURES),
        ("plan", folder / "cohort", "smoke", "--stage", "task", "--out", folder / "plan"),
        ("prepare", folder / "cohort", folder / "plan", "--out", folder / "prepared"),
        ("split", folder / "cohort", "--test", 1, "--folds", 2, "--out", folder / "split.json"),
    ):
        assert exit_code(*arguments) == 0
    return folder


def refused(result, *words: str) -> None:
    message = result.err.strip().splitlines()[-1]
    assert result.code == 2, result
    for word in words:
        assert word in message, message


def renamed(folder: Path, out: Path) -> None:
    """Copy the CT of a fraction, with another PatientID and PatientName."""
    shutil.copytree(folder, out)
    for path in out.glob("*.dcm"):
        ct = pydicom.dcmread(path)
        ct.PatientID = ct.PatientName = "SOMEBODY-ELSE"
        ct.save_as(path)


@pytest.mark.parametrize("rename", [False, True], ids=["as it is", "under another PatientID"])
def test_a_held_out_scan_among_the_unlabelled_is_refused(gynbtnet, export: Path, tmp_path: Path, rename: bool) -> None:
    first = tmp_path / "first"
    arguments = ("run", "smoke", "--cohort", export, "--set", "supervised=null")
    cohort = tmp_path / "cohort"
    assert gynbtnet("ingest", export, "--out", cohort, "--structures", STRUCTURES).code == 0
    assert gynbtnet("split", cohort, "--test", 1, "--folds", 2, "--out", tmp_path / "split.json").code == 0
    (held_out,) = Split.load(tmp_path / "split.json").test
    (case,) = Cohort.load(cohort).of_patients([held_out]).cases
    assert case.source.ct_folder
    more = tmp_path / "more" / "CT"
    if rename:
        renamed(case.source.ct_folder, more)
    else:
        shutil.copytree(case.source.ct_folder, more)
    result = gynbtnet(*arguments, "--out", first, "--unlabelled", tmp_path / "more")
    refused(result, "1 scan of patients held out", "unlabelled")
    assert held_out not in result.err.splitlines()[-1]
    assert not (first / "runs").exists()


def test_a_training_patients_scan_among_the_unlabelled_is_taken_once(export: Path, tmp_path: Path) -> None:
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES.split(",")).cohort
    seen = cohort.of_patients(cohort.patients[:2])
    (tmp_path / "more").mkdir()
    assert seen.cases[0].source.ct_folder
    shutil.copytree(seen.cases[0].source.ct_folder, tmp_path / "more" / "CT")
    unlabelled = ingest(tmp_path / "more", tmp_path / "unlabelled", "scans", include_cohort=seen).cohort
    assert sorted(case.patient for case in unlabelled.cases) == sorted(seen.patients)


def test_patients_identified_by_folder_are_not_mixed_with_unlabelled_scans(
    gynbtnet, export: Path, tmp_path: Path
) -> None:
    arguments = ("run", "smoke", "--cohort", export, "--set", "supervised=null", "--patient-id-from", "folder")
    refused(gynbtnet(*arguments, "--unlabelled", export, "--out", tmp_path / "out"), "Omit --unlabelled")


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Ids of the cases that batches were made of."""
    seen: set[str] = set()
    from gynbtnet.training import Batches

    def record_cases(cases, *arguments, **options):
        seen.update(case.id for case in cases)
        return Batches(cases, *arguments, **options)

    monkeypatch.setattr(stages, "Batches", record_cases)
    return seen


@pytest.mark.slow
def test_a_prepared_test_patient_takes_no_part(gynbtnet, steps: Path, tmp_path: Path, trained_on: set[str]) -> None:
    result = gynbtnet(
        *("finetune", steps / "prepared", "smoke", "--stage", "task", "--split", steps / "split.json"),
        *("--out", tmp_path / "run"),
    )
    assert result.code == 0, result.err
    prepared, split = PreparedCohort.open(steps / "prepared"), Split.load(steps / "split.json")
    assert trained_on == prepared.ids_of(set(prepared.patients).difference(split.test))


def test_a_task_without_a_split_is_refused(gynbtnet, steps: Path, tmp_path: Path) -> None:
    result = gynbtnet("finetune", steps / "prepared", "smoke", "--stage", "task", "--out", tmp_path / "run")
    refused(result, "--split")


def test_another_cohorts_split_is_refused(gynbtnet, steps: Path, tmp_path: Path) -> None:
    Split(("X",), (("Y",), ("Z",)), 0).save(tmp_path / "other.json")
    result = gynbtnet(
        *("finetune", steps / "prepared", "smoke", "--stage", "task", "--split", tmp_path / "other.json"),
        *("--out", tmp_path / "run"),
    )
    refused(result, "The split lacks")
    result = gynbtnet(
        *("plan", steps / "cohort", "smoke", "--stage", "task", "--split", tmp_path / "other.json"),
        *("--out", tmp_path / "other"),
    )
    refused(result, "split")


@pytest.mark.parametrize("change", ["task.plan.preset=S", "structures=[hr_ctv, bladder]", "task.plan.batch_size=1"])
def test_a_recipe_that_wants_other_prepared_scans(gynbtnet, steps: Path, tmp_path: Path, change: str) -> None:
    result = gynbtnet(
        *("finetune", steps / "prepared", "smoke", "--stage", "task", "--split", steps / "split.json"),
        *("--set", change, "--out", tmp_path / "run"),
    )
    refused(result, "prepared with")
