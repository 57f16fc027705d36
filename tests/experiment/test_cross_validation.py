"""Cross-validation of two folds on four synthetic patients, in sequence and in parallel."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gynbtnet.datasets import Cohort, Split
from gynbtnet.experiment.cross_validation import CrossValidation, calibrate_from_folds, crossvalidate
from gynbtnet.imaging import read_volume
from gynbtnet.inference import Model, Quality, predict
from gynbtnet.preparation import PreparedCohort, load_plan, make_plan, prepare, structure_volumes
from gynbtnet.recipes import Recipe, load_recipe
from gynbtnet.runtime import BadInput, Paused, sha256_of

SPLIT = Split(test=("p4",), folds=(("p0", "p1"), ("p2", "p3")), seed=0)
CHANGES = [
    *("structures=[ball]", "task.training.epochs=2", "task.training.steps_per_epoch=1"),
    *("task.training.validation_patches=1", "task.training.augmentation=none", "prediction.preview=false"),
]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("smoke", CHANGES)


@pytest.fixture(scope="module")
def prepared(cohort: Cohort, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    seen = cohort.of_patients({"p0", "p1", "p2", "p3"})
    return prepare(seen, make_plan(seen, recipe.stage("task").plan), tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def done(
    prepared: PreparedCohort, cohort: Cohort, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> CrossValidation:
    out = tmp_path_factory.mktemp("out") / "crossvalidation"
    crossvalidate(prepared, cohort, recipe, SPLIT, out)
    calibrate_from_folds(cohort, recipe, SPLIT, out)
    return CrossValidation(out)


@pytest.mark.slow
def test_each_case_is_predicted_by_the_fold_that_was_not_trained_on_it(done: CrossValidation, cohort: Cohort) -> None:
    assert sorted(path.name for path in done.predictions.iterdir()) == [f"p{n}_f1" for n in range(4)]
    for fold, patients in enumerate(SPLIT.folds):
        model = Model.load(done.fold(fold))
        for patient in patients:
            manifest = json.loads((done.predictions / f"{patient}_f1" / "prediction.json").read_text())
            sha256 = sha256_of(done.fold(fold) / "weights_last.safetensors")
            assert (manifest["model"]["name"], manifest["model"]["sha256"]) == (f"fold_{fold}", sha256)
            assert manifest["model"]["files"] == {"weights_last.safetensors": sha256}
            assert "SYNTHETIC" in manifest["notice"]
        case = cohort.case(f"{patients[0]}_f1")
        expected = predict(model, read_volume(case.image), load_recipe("smoke").prediction).labels.array
        kept = read_volume(done.predictions / case.id / "labels.nii.gz").array
        assert np.array_equal(kept, expected)


def test_no_fold_learns_from_whom_it_predicts(done: CrossValidation, prepared: PreparedCohort) -> None:
    patient_of = {case.key: case.patient for case in prepared.cases}
    for fold, patients in enumerate(SPLIT.folds):
        inputs = json.loads((done.fold(fold) / "inputs.json").read_text())
        assert {patient_of[key] for key in inputs["validation"]} == set(patients)
        assert {patient_of[key] for key in inputs["training"]} == set(SPLIT.folds[1 - fold])


def test_every_case_outside_the_test_is_scored(done: CrossValidation) -> None:
    with (done.evaluation / "scores.csv").open(newline="") as file:
        assert sorted(row["case"] for row in csv.DictReader(file)) == [f"p{n}_f1" for n in range(4)]


def test_plan_and_quality_are_next_to_the_folds(done: CrossValidation, cohort: Cohort) -> None:
    plan, quality = load_plan(done.folder), Quality.load(done.folder)
    seen = cohort.of_patients({"p0", "p1", "p2", "p3"})
    fold = load_plan(done.fold(0))
    assert plan == replace(fold, volumes=structure_volumes(seen), postprocessing=plan.postprocessing)
    assert plan.volumes == fold.volumes == structure_volumes(seen)
    assert plan.postprocessing == ()  # four patients are no reason
    for folder in (done.folder, done.fold(0), done.fold(1)):
        assert (folder / "prediction_settings.json").is_file()
    assert quality is not None
    assert [(model.structure, model.from_shape) for model in quality.structures] == [("ball", None)]
    with done.trials.open(newline="") as file:
        assert {row["step"] for row in csv.DictReader(file)} == {"components", "holes"}


def test_a_second_call_keeps_the_results(
    done: CrossValidation, prepared: PreparedCohort, cohort: Cohort, recipe: Recipe
) -> None:
    files = [*done.folder.glob("fold_*/weights_*"), *done.predictions.rglob("*.nii.gz")]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert len(before) == 8
    crossvalidate(prepared, cohort, recipe, SPLIT, done.folder)
    assert {path: path.stat().st_mtime_ns for path in files} == before


@pytest.mark.slow
def test_folds_in_parallel_equal_those_in_sequence(
    done: CrossValidation, prepared: PreparedCohort, cohort: Cohort, recipe: Recipe, tmp_path: Path
) -> None:
    """Compare with folds in sequence, also after a pause for lack of time."""
    hurried = load_recipe("smoke", [*CHANGES, "task.training.time_budget_hours=1e-9"])
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(Paused, match="2 of 2 folds unfinished"):
            crossvalidate(prepared, cohort, hurried, SPLIT, tmp_path, jobs=2)
        assert not (tmp_path / "evaluation").exists()
        crossvalidate(prepared, cohort, recipe, SPLIT, tmp_path, jobs=2)
    finally:
        torch.set_num_threads(threads)
    for fold in range(2):
        weights = CrossValidation(tmp_path).fold(fold) / "weights_last.safetensors"
        assert weights.read_bytes() == (done.fold(fold) / weights.name).read_bytes()
    assert (tmp_path / "evaluation/scores.csv").read_bytes() == (done.evaluation / "scores.csv").read_bytes()


def test_inputs_that_do_not_belong_together_are_refused(
    prepared: PreparedCohort, cohort: Cohort, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(SPLIT, test=("p5",))
    with pytest.raises(BadInput, match="1 patient not in the cohort"):
        crossvalidate(prepared, cohort, recipe, other, tmp_path / "out")
    fewer = replace(prepared, cases=prepared.cases[:3])
    with pytest.raises(BadInput, match=r"lacks 1 case of the cohort .* prepare the cohort"):
        crossvalidate(fewer, cohort, recipe, SPLIT, tmp_path / "out")
    several = load_recipe("smoke", [*CHANGES, "task.training.devices=2"])
    with pytest.raises(BadInput, match="each fold on one device"):
        crossvalidate(prepared, cohort, several, SPLIT, tmp_path / "out")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BadInput, match="each fold on one device"):
        crossvalidate(prepared, cohort, recipe, SPLIT, tmp_path / "out")
    assert not (tmp_path / "out").exists()
