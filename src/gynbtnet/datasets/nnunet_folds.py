"""Splits in nnU-Net's ``splits_final.json``: ids of training and validation cases per fold."""

from collections import Counter
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.plain_data import load_json

FOLDS = "splits_final.json"


def write_folds(split: Split, cohort: Cohort, path: Path) -> None:
    """Write a split of a cohort as nnU-Net reads it; held-out patients are in none of its folds.

    Args:
        split: split to write.
        cohort: cohort with the cases of the patients.
        path: file to write, by nnU-Net's name ``splits_final.json``; an existing one is replaced.
    """
    write_json(split.nnunet_folds(cohort), path)


def load_split(path: Path, cohort: Cohort) -> Split:
    """Read the split of a cohort from ``split.json`` or from nnU-Net's ``splits_final.json``.

    Args:
        path: either file.
        cohort: the cohort that is split.

    Raises:
        BadInput: If the file is neither, or is of another cohort.
    """
    try:
        is_list = isinstance(load_json(path), list)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} can't be read; expected split.json of `gynbtnet split`, or nnU-Net's {FOLDS}."
        ) from error
    if is_list:
        return read_folds(path, cohort)
    split = Split.load(path)
    split.check(cohort)
    return split


def read_folds(path: Path, cohort: Cohort) -> Split:
    """Return the split by patients that a ``splits_final.json`` describes; patients in no fold are held out.

    Args:
        path: nnU-Net's ``splits_final.json``.
        cohort: cohort with the cases that the file names.

    Returns:
        The held-out patients, and the validation patients of each fold.

    Raises:
        BadInput: If the file is not such a file, or a case is unknown or validates in two folds. Also if cases of one
            patient are on both sides of a fold, or a fold leaves out cases of its patients.
    """
    content = read_json(list[dict[str, list[str]]], Path(path), f"expected nnU-Net's {FOLDS}")
    patients = {case.id: case.patient for case in cohort.cases}
    folds = [(set(fold.get("train", ())), set(fold.get("val", ()))) for fold in content]
    assigned = {case for train, val in folds for case in train | val}
    unknown = assigned.difference(patients)
    if unknown:
        raise BadInput(
            f"{path} names {counted(len(unknown), 'case')} not in the cohort {cohort.folder}; is it for another cohort?"
        )
    repeated = [case for case, count in Counter(case for _, val in folds for case in val).items() if count > 1]
    if repeated:
        raise BadInput(
            f"{path} lists {counted(len(repeated), 'case')} for the validation of several folds; expected each in one."
        )
    assigned_patients = {patients[case] for case in assigned}
    expected = {case for case, patient in patients.items() if patient in assigned_patients}
    for number, (train, val) in enumerate(folds):
        both = {patients[case] for case in train} & {patients[case] for case in val}
        if both:
            raise BadInput(
                f"Fold {number} of {path} has {counted(len(both), 'patient')} on both sides, so it would be validated "
                "on patients of its training. Put all cases of a patient on one side, or make it with `gynbtnet split`."
            )
        if train | val != expected:
            left_out = len(expected - train - val)
            raise BadInput(
                f"Fold {number} of {path} leaves out {counted(left_out, 'case')} of patients in the folds; expected "
                "all cases on one side or the other."
            )
    validation = tuple(tuple(sorted({patients[case] for case in val})) for _, val in folds)
    never = assigned_patients.difference(*validation)
    if never:
        raise BadInput(
            f"{path} lists {counted(len(never), 'patient')} for the validation of no fold; expected each in one."
        )
    return Split(tuple(sorted(set(cohort.patients) - assigned_patients)), validation, seed=0)
