"""Patients of a tuning: those of an experiment without its test patients, and every refusal."""

from pathlib import Path

import pytest

from gynbtnet.datasets import Cohort, Split, hold_out_patients, split_patients
from gynbtnet.experiment.scans import Scans
from gynbtnet.experiment.tuning.tuned_patients import find_tuned_patients
from gynbtnet.recipes import Recipe, load_recipe
from gynbtnet.runtime import BadInput


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("smoke", ["structures=[ball]", "supervised.structures=[ball]", "split.test=2"])


def test_the_split_is_that_of_an_experiment(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    split = split_patients(cohort, 2, 2, 0)
    patients = find_tuned_patients(recipe, "task", Scans(cohort.folder), tmp_path)
    assert (patients.training, patients.validation) == (split.training_patients(0), split.validation_patients(0))
    assert patients.cohort.patients == tuple(sorted({*patients.training, *patients.validation}))


def test_a_given_split(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    split = Split(("p2",), (("p0", "p4"), ("p1", "p3")), 0)
    patients = find_tuned_patients(recipe, "task", Scans(cohort.folder), tmp_path, split=split)
    assert (patients.training, patients.validation) == (("p1", "p3"), ("p0", "p4"))


def test_the_supervised_stage_has_the_validation_patients_of_an_experiment(
    cohort: Cohort, recipe: Recipe, tmp_path: Path
) -> None:
    stage = recipe.stage("supervised")
    patients = find_tuned_patients(recipe, "supervised", Scans(cohort.folder), tmp_path)
    assert patients.validation == hold_out_patients(cohort.patients, stage.validation, stage.training.seed)
    assert {*patients.training, *patients.validation} == set(cohort.patients)


def test_patients_that_do_not_fit(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    scans, split = Scans(cohort.folder), Split((), (("p0",), ("p1",)), 0)
    other = load_recipe("smoke")
    alone = load_recipe("smoke", ["supervised.structures=[ball]", "supervised.validation=0"])
    with pytest.raises(BadInput, match="has the structures ball, but the recipe smoke has hr_ctv"):
        find_tuned_patients(other, "task", scans, tmp_path)
    with pytest.raises(BadInput, match="would be among its scans"):
        find_tuned_patients(recipe, "task", scans, cohort.folder / "tuning")
    with pytest.raises(BadInput, match="There is no folder"):
        find_tuned_patients(recipe, "task", Scans(tmp_path / "absent"), tmp_path)
    with pytest.raises(BadInput, match="make it again with `gynbtnet split`"):
        find_tuned_patients(recipe, "task", scans, tmp_path, split=split)
    with pytest.raises(BadInput, match="omit --split"):
        find_tuned_patients(recipe, "supervised", scans, tmp_path, split=split)
    with pytest.raises(BadInput, match="no validation patients to score"):
        find_tuned_patients(alone, "supervised", scans, tmp_path)
