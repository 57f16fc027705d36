import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.nnunet_folds import FOLDS, read_folds, write_folds
from gynbtnet.datasets.split import Split, hold_out_patients, split_patients
from gynbtnet.imaging import Geometry
from gynbtnet.runtime import BadInput


def cohort_of(fractions: list[int]) -> Cohort:
    cases = tuple(
        Case(f"p{p}", f, f"p{p}_f{f}", (Path(f"p{p}_f{f}.nii.gz"),), None, Source(), Geometry((2, 2, 2)))
        for p, number in enumerate(fractions)
        for f in range(1, number + 1)
    )
    return Cohort("test", (), cases, Path("nowhere"))


@settings(max_examples=60, deadline=None)
@given(
    fractions=st.lists(st.integers(1, 5), min_size=8, max_size=40),
    test=st.one_of(st.integers(0, 4), st.floats(0.0, 0.5)),
    folds=st.integers(2, 4),
    seed=st.integers(0, 1000),
)
def test_no_patient_is_on_both_sides(fractions: list[int], test: float | int, folds: int, seed: int) -> None:
    cohort = cohort_of(fractions)
    split = split_patients(cohort, test, folds, seed)
    assert split_patients(cohort, test, folds, seed) == split
    assert sorted(split.patients) == sorted(cohort.patients)  # test and folds partition the patients
    sizes = [len(fold) for fold in split.folds]
    assert max(sizes) - min(sizes) <= 1
    split.check(cohort)
    for i, (fold, nnunet) in enumerate(zip(split.folds, split.nnunet_folds(cohort), strict=True)):
        trained, validated = set(split.training_patients(i)), set(fold)
        assert not trained & validated
        assert not (trained | validated) & set(split.test)
        assert {case_id.split("_")[0] for case_id in nnunet["train"]} == trained
        assert {case_id.split("_")[0] for case_id in nnunet["val"]} == validated


def test_the_papers_split_is_80_to_20_of_30_patients() -> None:
    split = split_patients(cohort_of([5] * 25 + [4] * 5))
    assert len(split.test) == 6
    assert sorted(len(fold) for fold in split.folds) == [4, 5, 5, 5, 5]


def test_a_count_and_a_share_are_distinguished() -> None:
    patients = [f"p{i}" for i in range(26)]
    assert len(hold_out_patients(patients, 5, seed=0)) == 5
    assert len(hold_out_patients(patients, 0.15, seed=0)) == 4
    assert hold_out_patients(patients, 0, seed=0) == hold_out_patients(patients, 0.0, seed=0) == ()
    assert len(hold_out_patients(patients[:2], 0.01, seed=0)) == 1
    assert hold_out_patients(patients, 5, seed=0) != hold_out_patients(patients, 5, seed=1)


@pytest.mark.parametrize(
    ("patients", "test", "folds"), [(1, 0.2, 5), (1, 0, 2), (6, 2, 5), (4, 4, 2), (4, -1, 2), (4, 1.5, 2), (4, 1, 1)]
)
def test_too_few_patients_are_refused(patients: int, test: float | int, folds: int) -> None:
    with pytest.raises(BadInput, match="patient"):
        split_patients(cohort_of([5] * patients), test, folds)


def test_a_fold_that_does_not_exist_is_refused() -> None:
    split = split_patients(cohort_of([1] * 10), folds=3)
    assert split.validation_patients(2) == split.folds[2]
    for fold in (-1, 3):
        with pytest.raises(BadInput, match=f"no fold {fold}"):
            split.validation_patients(fold)


def test_save_and_load(tmp_path: Path) -> None:
    split = split_patients(cohort_of([2] * 12), 2, 5, seed=4)
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split


@pytest.mark.parametrize(
    "content",
    [
        '{"test": ["a"], "folds": [["a"], ["b"]], "seed": 0}',
        '{"test": ["a"], "folds": [["b", "c"], ["c"]], "seed": 0}',
        '{"test": ["a"], "folds": [["b"], []], "seed": 0}',
        '{"test": ["a"], "folds": [["b"]], "seed": 0}',
        '{"test": ["a"], "folds": [["b"], ["c"]]}',
        '{"test": "a", "folds": [["b"], ["c"]], "seed": 0}',
        '{"test": ["a"], "folds": [["b"',
        "",
    ],
)
def test_a_wrong_split_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(BadInput):
        Split.load(tmp_path / "split.json")


def test_a_split_of_another_cohort_is_refused() -> None:
    split = split_patients(cohort_of([1] * 10))
    for other in (cohort_of([1] * 9), cohort_of([1] * 11)):
        with pytest.raises(BadInput, match="1 "):
            split.check(other)


def test_messages_name_no_patient() -> None:
    with pytest.raises(BadInput) as error:
        Split(("Jane Doe",), (("Jane Doe",), ("b",)), 0)
    assert "Jane" not in str(error.value)


def with_applicators(known: dict[int, str], patients: int) -> Cohort:
    cohort = cohort_of([4] * patients)
    cases = tuple(replace(case, applicator=known.get(int(case.patient[1:]))) for case in cohort.cases)
    return replace(cohort, cases=cases)


@settings(max_examples=60, deadline=None)
@given(
    known=st.dictionaries(st.integers(0, 29), st.sampled_from(["tandem+ovoids", "tandem+ring", "cylinder"])),
    test=st.integers(0, 10),
    folds=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_splits_are_stratified_by_applicator(known: dict[int, str], test: int, folds: int, seed: int) -> None:
    cohort = with_applicators(known, 30)
    split = split_patients(cohort, test, folds, seed)
    assert sorted(split.patients) == sorted(cohort.patients)
    assert len(split.test) == test
    for applicator in {*known.values(), None}:
        stratum = {patient for patient in cohort.patients if known.get(int(patient[1:])) == applicator}
        held_out = len(stratum.intersection(split.test))
        assert abs(held_out - test * len(stratum) / 30) < 1  # its share of the test, to one patient
        counts = [len(stratum.intersection(fold)) for fold in split.folds]
        assert max(counts) - min(counts) <= 1
    sizes = [len(fold) for fold in split.folds]
    assert max(sizes) - min(sizes) <= 1


def test_unknown_applicators_change_no_split() -> None:
    plain = split_patients(cohort_of([4] * 30), seed=3)
    assert split_patients(with_applicators({}, 30), seed=3) == plain
    assert split_patients(with_applicators(dict.fromkeys(range(30), "cylinder"), 30), seed=3) == plain


def test_nnunet_folds_round_trip(tmp_path: Path) -> None:
    cohort = cohort_of([3] * 12)
    split = split_patients(cohort, 2, 5, seed=0)
    write_folds(split, cohort, tmp_path / FOLDS)
    assert json.loads((tmp_path / FOLDS).read_text()) == split.nnunet_folds(cohort)
    assert read_folds(tmp_path / FOLDS, cohort) == split


def fold(train: str, val: str) -> dict[str, list[str]]:
    return {"train": train.split(), "val": val.split()}


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (
            [fold("p0_f1 p0_f2", "p1_f1 p1_f2"), fold("p1_f1 p1_f2", "p9_f1 p0_f1 p0_f2")],
            "1 case not in the cohort",
        ),
        ([fold("p0_f1", "p0_f2 p1_f1 p1_f2"), fold("p1_f1 p1_f2", "p0_f1")], "1 patient on both sides"),
        (
            [fold("p0_f1 p0_f2", "p1_f1 p1_f2"), fold("p0_f1 p0_f2", "p1_f1 p1_f2")],
            "2 cases for the validation of several folds",
        ),
        ([fold("p0_f1", "p1_f1 p1_f2"), fold("p1_f1 p1_f2", "p0_f1")], "leaves out 1 case of"),
        ([fold("p0_f1 p0_f2 p2_f1 p2_f2", "p1_f1 p1_f2"), fold("p1_f1 p1_f2", "p0_f1 p0_f2")], "leaves out 2 cases"),
        (
            [
                fold("p0_f1 p0_f2 p2_f1 p2_f2", "p1_f1 p1_f2"),
                fold("p1_f1 p1_f2 p2_f1 p2_f2", "p0_f1 p0_f2"),
            ],
            "1 patient for the validation of no fold",
        ),
        ([fold("p0_f1 p0_f2 p1_f1 p1_f2", "")], "at least two folds|validation of no fold"),
        ({"train": []}, "splits_final.json"),
    ],
)
def test_folds_that_are_not_a_split_by_patient(tmp_path: Path, folds: object, message: str) -> None:
    (tmp_path / FOLDS).write_text(json.dumps(folds))
    with pytest.raises(BadInput, match=message):
        read_folds(tmp_path / FOLDS, cohort_of([2, 2, 2]))
