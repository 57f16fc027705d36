"""Splits as nnU-Net's ``splits_final.json``: case ids to train and to validate on, a fold each."""

from collections import Counter
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json

FOLDS = "splits_final.json"


def write_folds(split: Split, cohort: Cohort, path: Path) -> None:
    """Write a split of a cohort as nnU-Net reads it; patients held out are in none of its folds."""
    write_json(split.nnunet_folds(cohort), path)


def read_folds(path: Path, cohort: Cohort) -> Split:
    """The split by patients that somebody's folds mean; patients in none of them are held out.

    Raises:
        BadInput: where the file is none such, a case is unknown or validates in two folds, cases of one patient stand
            on both sides of a fold, or a fold leaves out cases that it should have.
    """
    stated = read_json(list[dict[str, list[str]]], Path(path), f"expected nnU-Net's {FOLDS}")
    patients = {case.id: case.patient for case in cohort.cases}
    folds = [(set(fold.get("train", ())), set(fold.get("val", ()))) for fold in stated]
    dealt = {case for train, val in folds for case in train | val}
    unknown = dealt.difference(patients)
    if unknown:
        raise BadInput(
            f"{path} names {len(unknown)} cases unknown to the cohort {cohort.folder}; is it of another one?"
        )
    twice = [case for case, count in Counter(case for _, val in folds for case in val).items() if count > 1]
    if twice:
        raise BadInput(f"{path} has {len(twice)} cases that validate two folds; expected each to validate one.")
    dealt_patients = {patients[case] for case in dealt}
    whole = {case for case, patient in patients.items() if patient in dealt_patients}
    for number, (train, val) in enumerate(folds):
        both = {patients[case] for case in train} & {patients[case] for case in val}
        if both:
            raise BadInput(
                f"Fold {number} of {path} has {len(both)} patients on both sides, so that it would be validated on "
                "patients whom it has seen; put all cases of a patient on one side, or make it with `gynbtnet split`."
            )
        if train | val != whole:
            left_out = len(whole - train - val)
            raise BadInput(
                f"Fold {number} of {path} leaves out {left_out} cases of patients in the folds; expected all of them "
                "on one side or the other."
            )
    validation = tuple(tuple(sorted({patients[case] for case in val})) for _, val in folds)
    never = dealt_patients.difference(*validation)
    if never:
        raise BadInput(f"{path} has {len(never)} patients who validate no fold; expected each to validate one.")
    return Split(tuple(sorted(set(cohort.patients) - dealt_patients)), validation, seed=0)
