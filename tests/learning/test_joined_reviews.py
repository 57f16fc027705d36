"""Reviews as cases: who joins, with which origin, in which group, and what is left out."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets import Cohort, PatientKey, Split, read_contours
from gynbtnet.imaging import StructureNames, read_volume, voxel_digest
from gynbtnet.learning import LearningRequest, LearningResult, ScanFinder, find_worklist, learn, learn_from_reviews
from gynbtnet.learning.challenge import Challenge
from gynbtnet.learning.learning_folder import LearningFolder
from gynbtnet.learning.ledger import Ledger
from gynbtnet.learning.round import LearningRound, training_cohort
from gynbtnet.runtime import BadInput, read_json
from gynbtnet.training import TrainingScans

from .conftest import SPLIT, STRUCTURES, truth

Call = Callable[..., LearningRequest]


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[LearningRound]:
    """Return the rounds that would be trained; none is."""
    begun: list[LearningRound] = []

    def begin(this: LearningRound) -> Challenge:
        begun.append(this)
        return Challenge((), promoted=False, reason="Not trained.")

    monkeypatch.setattr(learn_from_reviews, "run_round", begin)
    return begun


def uses(result: LearningResult) -> dict[str, str]:
    return {entry.patient: entry.use for entry in result.joined.ledger.entries}


def test_a_corrected_case_joins_and_an_untouched_one_does_not(
    predicted: Callable[..., Path], reviewed: Callable[..., Path], request_of: Call, rounds: list[LearningRound]
) -> None:
    reviewed(predicted("new1", 20), truth(20))
    reviewed(predicted("new2", 21))
    reviewed(predicted("new3", 22), truth(22), accepted=("rectum",))  # the corrected bladder isn't accepted
    result = learn(request_of())
    assert uses(result) == {"new1": "training", "new2": "nothing corrected", "new3": "nothing corrected"}
    (this,) = rounds
    (case,) = (case for case in training_cohort(this).cases if case.id.startswith("reviewed-"))
    assert (case.patient, case.missing, case.source.automatic) == ("new1", ("rectum",), False)
    assert any("corrected from model abababab: bladder" in note for note in case.notes)
    contours = read_contours(case, STRUCTURES)
    assert np.array_equal(contours.mask("bladder"), truth(20)["bladder"])
    assert not contours.mask("rectum").any(), "an untouched structure is unknown, and not labelled"
    (entry,) = this.ledger.learned
    assert (entry.origins, entry.model) == ({"bladder": "corrected"}, "ab" * 32)


def test_the_reason_names_what_was_done_with_each_contour(
    predicted: Callable[..., Path], reviewed: Callable[..., Path], request_of: Call, rounds: list[LearningRound]
) -> None:
    reviewed(predicted("new1", 21))
    reviewed(predicted("new2", 22), truth(22), accepted=())
    prediction = predicted("new3", 23)
    record = reviewed(prediction, truth(23)) / "review.json"
    for path in (prediction / "prediction.json", record):
        path.write_text(path.read_text().replace('"bladder"', '"blase"'))
    names = StructureNames.load()
    words = {entry.patient: entry.use_words(names) for entry in learn(request_of()).joined.ledger.entries}
    reason = "not used: no contour was both corrected and accepted"
    assert words == {
        "new1": f"{reason} (accepted unchanged: Bladder, Rectum)",
        "new2": f"{reason} (edited but not accepted: Bladder; not reviewed: Rectum)",
        "new3": f"{reason} (not in the cohort: blase; accepted unchanged: Rectum)",
    }
    assert rounds == []


def test_times_without_a_zone_are_compared_with_others(
    predicted: Callable[..., Path], reviewed: Callable[..., Path], request_of: Call, rounds: list[LearningRound]
) -> None:
    prediction = predicted("new1", 20)
    reviewed(prediction, truth(20), time="2026-01-02T08:00:00")
    learn(request_of())
    smaller = truth(20)["bladder"].copy()
    smaller[:7] = False
    reviewed(prediction, {"bladder": smaller}, time="2026-01-04T08:00:00+00:00")
    assert learn(request_of()).joined.changed == 1


def test_what_adds_nothing_is_left_out_with_its_reason(
    tmp_path: Path,
    predicted: Callable[..., Path],
    reviewed: Callable[..., Path],
    request_of: Call,
    rounds: list[LearningRound],
) -> None:
    reviewed(predicted("copied", 20), truth(20))
    shutil.copytree(tmp_path / "predictions" / "copied", tmp_path / "predictions" / "later")
    elsewhere = predicted("planned", 21)
    review = reviewed(elsewhere, truth(21))
    shutil.copy(review / "review.json", elsewhere)
    shutil.rmtree(review.parent)
    reasons = {review.name: review.reason for review in learn(request_of()).left_out}
    assert reasons["later/review/001"] == "Another review of the same scan and time is used, copied/review/001."
    assert "edited in another program" in reasons["planned"] and len(reasons) == 2


def test_untouched_contours_join_on_request(
    predicted: Callable[..., Path], reviewed: Callable[..., Path], request_of: Call, rounds: list[LearningRound]
) -> None:
    reviewed(predicted("new1", 20), truth(20))
    reviewed(predicted("new2", 21))
    learn(request_of(untouched=True))
    origins = {entry.patient: entry.origins for entry in rounds[0].ledger.learned}
    assert origins == {
        "new1": {"bladder": "corrected", "rectum": "untouched"},
        "new2": {"bladder": "untouched", "rectum": "untouched"},
    }
    assert all(not case.missing for case in training_cohort(rounds[0]).cases)
    with pytest.raises(BadInput, match="was begun with untouched = True"):
        learn(request_of())


def test_a_frozen_patient_never_trains(
    predicted: Callable[..., Path], reviewed: Callable[..., Path], request_of: Call, rounds: list[LearningRound]
) -> None:
    """Not even by another fraction, of which the cohort knows nothing."""
    reviewed(predicted("p0_f2", 30), truth(30))
    reviewed(predicted("p5_f2", 31), truth(31))
    result = learn(request_of(untouched=True))
    assert uses(result) == {"p0": "frozen test", "p5": "validation"}
    assert rounds == [], "validation alone trains nothing"
    reviewed(predicted("new1", 20), truth(20))
    learn(request_of(untouched=True))
    trained = training_cohort(rounds[0])
    assert not {"p0", "p1", "p2", "p3", "p4"}.intersection(trained.patients)
    assert set(trained.patients) == {"p5", "p6", "new1"}
    folders = LearningFolder(rounds[0].folders.folder)
    frozen = next(entry for entry in result.joined.ledger.entries if entry.use == "frozen test")
    assert not folders.case(frozen.review).exists(), "its scan isn't even copied"


def test_a_dicom_patient_is_the_one_of_the_cohorts_key(
    source: Path,
    tmp_path: Path,
    predicted: Callable[..., Path],
    reviewed: Callable[..., Path],
    request_of: Call,
    rounds: list[LearningRound],
) -> None:
    cohort = tmp_path / "cohort"
    shutil.copytree(source / "cohort", cohort)
    PatientKey(cohort / "patients.csv", study_ids={"ID-A": "p1", "ID-B": "p6"}).save()
    finder = ScanFinder.create(Cohort.load(cohort))
    reviewed(predicted("a", 40, patient="ID-A"), truth(40))
    reviewed(predicted("b", 41, patient="ID-B"), truth(41))
    reviewed(predicted("c", 42, patient="ID-C"), truth(42))
    result = learn(request_of(finder=finder))
    assert uses(result) == {"p1": "frozen test", "p6": "training", "patient-001": "training"}
    assert PatientKey.load(cohort / "patients.csv").study_ids["ID-C"] == "patient-001"
    state = tmp_path / "learned"
    texts = [path.read_text() for path in state.glob("*.json")]
    assert texts and not any("ID-" in text for text in texts)
    case = next(case for case in training_cohort(rounds[0]).cases if case.patient == "patient-001")
    assert case.source.rtstruct is not None and case.source.rtstruct.name == "RS.dcm"


def test_a_cohort_whose_key_is_elsewhere(source: Path, tmp_path: Path) -> None:
    cohort = tmp_path / "cohorts" / "task"
    shutil.copytree(source / "cohort", cohort)
    (cohort / "patients.csv").unlink()
    with pytest.raises(BadInput, match="give it with --key"):
        ScanFinder.create(Cohort.load(cohort))
    PatientKey(tmp_path / "patients.csv").save()  # as `gynbtnet run` does
    with pytest.raises(BadInput, match=f"give it with --key {tmp_path / 'patients.csv'}"):
        ScanFinder.create(Cohort.load(cohort))
    with pytest.raises(BadInput, match="There is no key"):
        ScanFinder.create(Cohort.load(cohort), key=tmp_path / "absent.csv")
    PatientKey(tmp_path / "key.csv").save()
    assert ScanFinder.create(Cohort.load(cohort), key=tmp_path / "key.csv").key.separate
    with pytest.raises(BadInput, match="needs --scan"):
        ScanFinder.create(Cohort.load(source / "cohort"), patient_id_from="folder")


def test_groups_are_for_ever(
    predicted: Callable[..., Path], reviewed: Callable[..., Path], request_of: Call, rounds: list[LearningRound]
) -> None:
    reviewed(predicted("new1", 20), truth(20))
    learn(request_of(validation=0.999))
    assert rounds == []
    reviewed(predicted("new2", 21), truth(21))
    learn(request_of(validation=0))
    assert uses_of(rounds[0]) == {"new1": "validation", "new2": "training"}
    moved = Split(("p0", "p1", "p2", "p3", "p6"), (("p5",), ("p4",)), 0)
    with pytest.raises(BadInput, match="never changes the group"):
        learn(request_of(split=moved))
    learn(request_of(split=None))


def uses_of(this: LearningRound) -> dict[str, str]:
    return {entry.patient: entry.use for entry in this.ledger.learned}


def test_the_same_review_adds_nothing_and_a_changed_one_replaces(
    tmp_path: Path,
    predicted: Callable[..., Path],
    reviewed: Callable[..., Path],
    request_of: Call,
    rounds: list[LearningRound],
) -> None:
    prediction = predicted("new1", 20)
    reviewed(prediction, truth(20), time="2026-01-02T08:00:00+00:00")
    first = learn(request_of()).joined
    assert (first.new, first.changed, first.known) == (1, 0, 0)
    again = learn(request_of()).joined
    assert (again.new, again.changed, again.known) == (0, 0, 1)
    assert again.ledger == first.ledger
    shutil.copytree(tmp_path / "predictions", tmp_path / "old")
    smaller = truth(20)["bladder"].copy()
    smaller[:7] = False
    reviewed(prediction, {"bladder": smaller}, time="2026-01-03T08:00:00+00:00")
    changed = learn(request_of()).joined
    assert (changed.new, changed.changed, len(changed.ledger.entries)) == (0, 1, 1)
    assert changed.ledger.entries[0].replaced == (first.ledger.entries[0].review,)
    (case,) = (case for case in training_cohort(rounds[-1]).cases if case.id.startswith("reviewed-"))
    assert np.array_equal(read_contours(case, STRUCTURES).mask("bladder"), smaller)
    outdated = learn(replace(request_of(), reviews=tmp_path / "old")).joined
    assert (outdated.changed, outdated.known) == (0, 1)
    assert outdated.ledger == changed.ledger, "an older review replaces nothing"


def test_a_scan_of_the_cohort_keeps_its_contours(
    source: Path, predicted: Callable[..., Path], reviewed: Callable[..., Path], request_of: Call, rounds: list[object]
) -> None:
    """Under another name it is recognised by its file, in another format by its voxels."""
    reviewed(predicted("copy", 6), truth(6))
    reviewed(predicted("other", 0, suffix=".nrrd"), truth(0))
    assert uses(learn(request_of())) == {"p6": "in the cohort", "other": "in the cohort"}
    assert rounds == []


def test_one_bad_review_stops_no_other(
    tmp_path: Path,
    predicted: Callable[..., Path],
    reviewed: Callable[..., Path],
    request_of: Call,
    rounds: list[LearningRound],
) -> None:
    reviewed(predicted("good", 20), truth(20))
    (reviewed(predicted("cut", 21), truth(21)) / "review.json").write_text("{")
    shutil.rmtree(tmp_path / "predictions" / "cut" / "review" / "002", ignore_errors=True)
    (reviewed(predicted("bare", 22), truth(22)) / "labels.nii.gz").unlink()
    reviewed(predicted("gone", 23), truth(23))
    (tmp_path / "scans" / "gone.nii.gz").unlink()
    reviewed(predicted("other", 24), truth(24))
    shutil.copy(tmp_path / "scans" / "good.nii.gz", tmp_path / "scans" / "other.nii.gz")
    result = learn(request_of())
    reasons = {review.name.split("/")[0]: review.reason for review in result.left_out}
    assert uses(result) == {"good": "training"}
    assert "damaged" in reasons["cut"] and "no contours" in reasons["bare"] and "no longer exists" in reasons["gone"]
    assert "isn't the one" in reasons["other"]
    assert len(reasons) == 4


def test_calls_that_do_not_belong_together(
    source: Path, tmp_path: Path, request_of: Call, rounds: list[LearningRound]
) -> None:
    with pytest.raises(BadInput, match="The first call needs --split"):
        learn(request_of(split=None))
    with pytest.raises(BadInput, match="no test patients"):
        learn(request_of(split=Split((), (SPLIT.test, ("p5", "p6")), 0)))
    with pytest.raises(BadInput, match="There is no folder"):
        learn(replace(request_of(), reviews=tmp_path / "absent"))
    result = learn(request_of())
    assert (result.round, result.champion) == (None, source / "model")
    other = tmp_path / "model"
    shutil.copytree(source / "model", other)
    (other / "recipe.yaml").unlink()
    with pytest.raises(BadInput, match=r"There is no .*recipe\.yaml"):
        learn(replace(request_of(), model=other))
    shutil.copy(source / "model" / "recipe.yaml", other)
    (other / "weights_last.safetensors").write_bytes(b"others")
    with pytest.raises(BadInput, match="learns from another first model"):
        learn(replace(request_of(), model=other))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("")
    with pytest.raises(BadInput, match="contains files"):
        learn(replace(request_of(), out=tmp_path / "full"))


def test_a_split_whose_test_patients_were_trained_on_is_refused(
    source: Path, tmp_path: Path, request_of: Call, rounds: list[LearningRound]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(source / "model", model)
    image = Cohort.load(source / "cohort").cases[0].image
    TrainingScans((voxel_digest(read_volume(image)),)).save(model)
    with pytest.raises(BadInput, match="was trained on 1 of 5 test patients of the split"):
        learn(replace(request_of(), model=model))
    assert not (tmp_path / "learned" / "learning.json").exists()
    TrainingScans(("0" * 64,)).save(model)
    learn(replace(request_of(), model=model))


def test_a_folder_that_is_a_file_and_a_lost_case_are_refused(
    tmp_path: Path,
    predicted: Callable[..., Path],
    reviewed: Callable[..., Path],
    request_of: Call,
    rounds: list[LearningRound],
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="file is a file; expected a folder"):
        learn(replace(request_of(), out=tmp_path / "file"))
    reviewed(predicted("new1", 20), truth(20))
    learn(request_of())
    shutil.rmtree(tmp_path / "learned" / "reviewed")
    with pytest.raises(BadInput, match=r"the case of a review that was learned from; restore it"):
        learn(request_of())


def test_the_distance_counts_joined_cases(
    predicted: Callable[..., Path], reviewed: Callable[..., Path], request_of: Call, rounds: list[LearningRound]
) -> None:
    for number in (20, 21):
        reviewed(predicted(f"new{number}", number), truth(number))
    predicted("waiting", 50)
    (before,) = find_worklist(request_of()).candidates
    learn(request_of())
    (after,) = find_worklist(request_of()).candidates
    assert before.distance is None, "the cohort has a single training patient"
    assert after.distance is not None and after.distance > 0


def test_the_worklist_has_neither_frozen_patients_nor_reviewed_cases(
    tmp_path: Path, predicted: Callable[..., Path], reviewed: Callable[..., Path], request_of: Call
) -> None:
    reviewed(predicted("done", 20), truth(20))
    predicted("p0_f2", 30, flags=("bladder",))
    predicted("copy", 21, flags=("rectum",), low=0.4, agreement=0.6)
    (predicted("gone", 23) / "labels.nii.gz").unlink()
    worklist = find_worklist(request_of())
    (case,) = worklist.candidates
    assert (case.name, case.lowest_dsc, case.lowest_agreement, case.structures_flagged) == ("copy", 0.4, 0.6, 1)
    assert case.distance is None, "a single training scan shows no spread"
    assert (worklist.reviewed, worklist.frozen) == (1, 1)
    assert [name for name, _ in worklist.left_out] == ["gone"]
    content = json.loads((tmp_path / "learned" / "reviews.json").read_text())
    assert content["entries"] == []
    assert read_json(Ledger, tmp_path / "learned" / "reviews.json", "") == Ledger(untouched=False)
