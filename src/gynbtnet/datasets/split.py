"""Who is trained on and who is not: always whole patients, in the same mixture of applicators on every side."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json


@dataclass(frozen=True)
class Split:
    """Patients held out for the test, and the others in folds for cross-validation.

    Attributes:
        test: patients whom no training and no choice may see.
        folds: validation patients of each fold; they partition the patients who are not in ``test``.
        seed: what the split was drawn with.

    Raises:
        BadInput: where a patient stands twice, or a fold has none to validate on or none to train on.
    """

    test: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    seed: int

    def __post_init__(self) -> None:
        everyone = self.patients
        twice = len(everyone) - len(set(everyone))
        if twice:
            raise BadInput(
                f"The split names {twice} patients twice, so that fractions of one patient would stand on both sides "
                "of it; name each patient once, or make the split with `gynbtnet split`."
            )
        if len(self.folds) < 2 or not all(self.folds):
            raise BadInput(
                f"The split has {len(self.folds)} folds of {[len(fold) for fold in self.folds]} patients; expected at "
                "least two folds with a patient in each."
            )

    @property
    def patients(self) -> tuple[str, ...]:
        """Everyone: the test patients, then those of each fold."""
        return self.test + tuple(patient for fold in self.folds for patient in fold)

    def training_patients(self, fold: int) -> tuple[str, ...]:
        """Those outside the test whom this fold doesn't validate on, sorted."""
        return tuple(sorted(patient for i, members in enumerate(self.folds) if i != fold for patient in members))

    def validation_patients(self, fold: int) -> tuple[str, ...]:
        """Those whom this fold validates on.

        Raises:
            BadInput: where there is no such fold.
        """
        if not 0 <= fold < len(self.folds):
            raise BadInput(f"There is no fold {fold}; the split has {len(self.folds)}, numbered from 0.")
        return self.folds[fold]

    def check(self, cohort: Cohort) -> None:
        """See that split and cohort are of the same patients.

        Raises:
            BadInput: where the split names a patient unknown to the cohort or leaves one out.
        """
        unknown = set(self.patients).difference(cohort.patients)
        left_out = set(cohort.patients).difference(self.patients)
        if unknown or left_out:
            raise BadInput(
                f"The split names {len(unknown)} patients unknown to the cohort {cohort.folder} and leaves out "
                f"{len(left_out)} of its {len(cohort.patients)}; make it again with `gynbtnet split`."
            )

    def nnunet_folds(self, cohort: Cohort) -> list[dict[str, list[str]]]:
        """The content of nnU-Net's ``splits_final.json``: case ids to train and validate on, a fold each."""
        return [
            {
                "train": [case.id for case in cohort.of_patients(self.training_patients(i)).cases],
                "val": [case.id for case in cohort.of_patients(fold).cases],
            }
            for i, fold in enumerate(self.folds)
        ]

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(self, path)

    @classmethod
    def load(cls, path: Path) -> "Split":
        """Read a split that :meth:`save` or a person wrote; BadInput where it is none."""
        return read_json(cls, Path(path), "expected a split made by `gynbtnet split`")


def split_patients(cohort: Cohort, test: float | int = 0.2, folds: int = 5, seed: int = 0) -> Split:
    """Hold out test patients and deal the others into folds of equal size (to one patient).

    Where applicators are known, each applicator's patients are held out in the same share and dealt evenly, to one
    patient; those whose applicator is unknown count as a group of their own.

    Args:
        cohort: whose patients to split.
        test: a number of patients (int), or a share of them (float); 0 for none.
        folds: number of folds, at least two.
        seed: the same seed, patients and applicators give the same split.

    Raises:
        BadInput: where the cohort has too few patients for it.
    """
    applicators = cohort.applicators
    held_out = hold_out_patients(cohort.patients, test, seed, applicators)
    rest = sorted(set(cohort.patients).difference(held_out))
    if folds < 2 or len(rest) < folds:
        raise BadInput(
            f"The cohort {cohort.folder} has {len(cohort.patients)} patients, {len(held_out)} of them for the test; "
            f"{folds} folds need at least two and at most {len(rest)}. A patient is never split: ask for fewer "
            "folds or test patients, or add patients."
        )
    drawn = [rest[i] for i in np.random.default_rng([seed, 1]).permutation(len(rest))]
    order = [patient for group in _strata(drawn, applicators) for patient in group]
    return Split(held_out, tuple(tuple(sorted(order[k::folds])) for k in range(folds)), seed)


def hold_out_patients(
    patients: Sequence[str], share: float | int, seed: int, strata: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Draw patients to keep apart: a number of them (int) or a share (float, rounded, at least one patient).

    Args:
        patients: of whom to draw.
        share: how many.
        seed: the same seed gives the same patients.
        strata: the group of each patient who is known to be in one; each group gives its part of the whole, rounded
            down, and those with the largest remainders one more until the number is met.

    Raises:
        BadInput: where that leaves no patient for the other side.
    """
    patients = sorted(patients)
    if isinstance(share, float) and not 0 <= share < 1:
        raise BadInput(
            f"A share of {share} of the patients can't be held out; expected one from 0 to below 1, or a whole number."
        )
    number = max(1, math.floor(share * len(patients) + 0.5)) if isinstance(share, float) and share > 0 else int(share)
    if not 0 <= number < len(patients):
        raise BadInput(
            f"{number} of {len(patients)} patients can't be held out: the others would be none. A patient is never "
            "split; add patients or hold out fewer."
        )
    drawn = [patients[i] for i in np.random.default_rng([seed, 0]).permutation(len(patients))]
    groups = _strata(drawn, strata or {})
    parts = [number * len(group) / len(patients) for group in groups]
    taken = [math.floor(part) for part in parts]
    largest_remainders = sorted(range(len(groups)), key=lambda i: taken[i] - parts[i])
    for i in largest_remainders[: number - sum(taken)]:
        taken[i] += 1
    return tuple(sorted(patient for group, n in zip(groups, taken, strict=True) for patient in group[:n]))


def _strata(patients: Sequence[str], strata: Mapping[str, str]) -> list[list[str]]:
    """The patients by their group, in their order within it; those of no known group come last."""
    groups: dict[str, list[str]] = {name: [] for name in [*sorted(set(strata.values())), ""]}
    for patient in patients:
        groups[strata.get(patient, "")].append(patient)
    return list(groups.values())
