import stat
from pathlib import Path

import pytest

from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.runtime import BadInput


def test_patients_keep_their_study_ids_when_others_are_added(tmp_path: Path) -> None:
    key = PatientKey.load(tmp_path / "key.csv")
    key = key.with_patients(["10", "9", 'A,"B"\n'])
    key.save()
    assert [key.study_id(patient) for patient in ("9", "10", 'A,"B"\n')] == [
        "patient-001",
        "patient-002",
        "patient-003",
    ]
    again = PatientKey.load(tmp_path / "key.csv").with_patients(["1", "9"])
    again.save()
    assert again.study_id("9") == "patient-001"
    assert again.study_id("1") == "patient-004"
    assert PatientKey.load(tmp_path / "key.csv").study_ids == again.study_ids


def test_an_identifier_like_a_study_id_gets_its_own(tmp_path: Path) -> None:
    key = PatientKey.load(tmp_path / "key.csv").with_patients(["DOE"])
    assert key.study_id("patient-001") == key.find("patient-001") == "patient-001"
    key = key.with_patients(["patient-001"])
    assert key.study_ids == {"DOE": "patient-001", "patient-001": "patient-002"}
    assert (key.find("DOE"), key.find("patient-002")) == ("patient-001", "patient-002")
    with pytest.raises(BadInput, match="patient-001 is the study ID of one patient and the PatientID of another"):
        key.find("patient-001")


@pytest.mark.parametrize("name", ["A1²", "①", "٣", "A１"])
def test_digits_of_any_script_can_be_sorted(tmp_path: Path, name: str) -> None:
    key = PatientKey(tmp_path / "key.csv").with_patients([name, "A2"])
    assert set(key.study_ids) == {name, "A2"}


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    key = PatientKey.load(tmp_path / "key.csv")
    key = key.with_patients(["DOE"])
    assert not key.path.exists()
    key.save()
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text", ["", "a,b\n", "study_id,patient\n1\n", "study_id,patient\n1,2\n1,3\n", "study_id,patient\n1,2\n3,2\n", "\0"]
)
def test_a_file_that_is_not_a_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.csv").write_text(text)
    with pytest.raises(BadInput, match=r"key.csv is not a key of patients. Expected a CSV file"):
        PatientKey.load(tmp_path / "key.csv")


def test_a_study_id_of_thousands_of_digits_is_treated_as_a_name(tmp_path: Path) -> None:
    (tmp_path / "key.csv").write_text(f"study_id,patient\npatient-{'9' * 5000},A\n")
    key = PatientKey.load(tmp_path / "key.csv")
    key = key.with_patients(["B"])
    assert key.study_id("B") == "patient-001"


def test_the_key_of_a_cohort_of_an_experiment_is_the_experiments(tmp_path: Path) -> None:
    cohort = tmp_path / "cohorts" / "task"
    cohort.mkdir(parents=True)
    assert PatientKey.of_cohort(cohort).study_ids == {}
    PatientKey.load(tmp_path / "patients.csv").with_patients(["DOE"]).save()
    assert PatientKey.of_cohort(cohort).study_id("DOE") == "patient-001"
    PatientKey.load(cohort / "patients.csv").with_patients(["ROE"]).save()
    assert PatientKey.of_cohort(cohort).study_ids == {"ROE": "patient-001"}
    elsewhere = tmp_path / "other" / "task"
    elsewhere.mkdir(parents=True)
    assert PatientKey.of_cohort(elsewhere).study_ids == {}
