"""Split of a cohort into test patients and cross-validation folds, by patient and stratified by applicator."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json
from gynbtnet.runtime.phrases import counted


@dataclass(frozen=True)
class Split:
    """Patients held out for the test, and the others in folds for cross-validation.

    Attributes:
        test: patients who are used neither for training nor for any choice.
        folds: validation patients of each fold; they partition the patients who are not in ``test``.
        seed: random seed of the split.

    Raises:
        BadInput: If a patient is named twice, or a fold has no patients for validation or none for training.
    """

    test: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    seed: int

    def __post_init__(self) -> None:
        repeated = len(self.patients) - len(set(self.patients))
        if repeated:
            raise BadInput(
                f"The split names {counted(repeated, 'patient')} twice, so fractions of one patient would be on both "
                "sides. Name each patient once, or make the split with `gynbtnet split`."
            )
        if len(self.folds) < 2 or not all(self.folds):
            raise BadInput(
                f"The split has {counted(len(self.folds), 'fold')} of {[len(fold) for fold in self.folds]} patients; "
                "expected at least two folds with a patient in each."
            )

    @property
    def patients(self) -> tuple[str, ...]:
        """All patients: the test patients, then those of each fold."""
        return self.test + tuple(patient for fold in self.folds for patient in fold)

    def training_patients(self, fold: int) -> tuple[str, ...]:
        """Return the patients outside the test and the validation of this fold, sorted."""
        return tuple(sorted(patient for i, members in enumerate(self.folds) if i != fold for patient in members))

    def validation_patients(self, fold: int) -> tuple[str, ...]:
        """Return the validation patients of this fold.

        Raises:
            BadInput: If there is no such fold.
        """
        if not 0 <= fold < len(self.folds):
            raise BadInput(f"There is no fold {fold}; the split has {len(self.folds)}, numbered from 0.")
        return self.folds[fold]

    def check(self, cohort: Cohort) -> None:
        """Check that split and cohort have the same patients.

        Raises:
            BadInput: If the split names a patient who is not in the cohort, or leaves one out.
        """
        unknown = set(self.patients).difference(cohort.patients)
        left_out = set(cohort.patients).difference(self.patients)
        if unknown or left_out:
            raise BadInput(
                f"The split names {counted(len(unknown), 'patient')} not in the cohort {cohort.folder} and leaves out "
                f"{len(left_out)} of its {len(cohort.patients)}; make it again with `gynbtnet split`."
            )

    def nnunet_folds(self, cohort: Cohort) -> list[dict[str, list[str]]]:
        """Return the content of nnU-Net's ``splits_final.json``: ids of training and validation cases per fold."""
        return [
            {
                "train": [case.id for case in cohort.of_patients(self.training_patients(i)).cases],
                "val": [case.id for case in cohort.of_patients(fold).cases],
            }
            for i, fold in enumerate(self.folds)
        ]

    def save(self, path: Path) -> None:
        """Write the split as JSON, atomically."""
        write_json(self, path)

    @classmethod
    def load(cls, path: Path) -> "Split":
        """Read a split that :meth:`save` or a person wrote; raise BadInput if it is damaged."""
        return read_json(cls, Path(path), "expected a split made by `gynbtnet split`")


def split_patients(cohort: Cohort, test: float | int = 0.2, folds: int = 5, seed: int = 0) -> Split:
    """Hold out test patients and distribute the others over folds of equal size (to one patient).

    The split is stratified by applicator: the patients of each applicator are held out in the same share and
    distributed evenly, to one patient. Patients with an unknown applicator are one group.

    Args:
        cohort: cohort with the patients to split.
        test: number (int) or share (float) of test patients; 0 for none.
        folds: number of folds, at least two.
        seed: random seed; the same seed, patients and applicators give the same split.

    Returns:
        The test patients and the folds, by study ID.

    Raises:
        BadInput: If the cohort has too few patients.

    Example:
        >>> split = split_patients(cohort, test=1, folds=3)
        >>> len(split.test), [len(fold) for fold in split.folds]
        (1, [1, 1, 1])
    """
    applicators = cohort.applicators
    held_out = hold_out_patients(cohort.patients, test, seed, applicators)
    remaining = sorted(set(cohort.patients).difference(held_out))
    if folds < 2 or len(remaining) < folds:
        raise BadInput(
            f"The cohort {cohort.folder} has {counted(len(cohort.patients), 'patient')}: {len(held_out)} for the test "
            f"and {len(remaining)} for {counted(folds, 'fold')}. Expected at least two folds with a patient in each: "
            "use fewer folds or test patients, or add patients."
        )
    shuffled = [remaining[i] for i in np.random.default_rng([seed, 1]).permutation(len(remaining))]
    order = [patient for stratum in _stratify(shuffled, applicators) for patient in stratum]
    return Split(held_out, tuple(tuple(sorted(order[k::folds])) for k in range(folds)), seed)


def hold_out_patients(
    patients: Sequence[str], share: float | int, seed: int, strata: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Select patients at random to hold out.

    Args:
        patients: patients to select from.
        share: number (int), or share (float, rounded, at least one patient unless it is 0) of patients.
        seed: random seed; the same seed gives the same patients.
        strata: stratum of each patient whose stratum is known. Each stratum contributes its proportion, rounded down;
            those with the largest remainders contribute one more until the number is reached.

    Returns:
        The patients to hold out, in alphabetical order.

    Raises:
        BadInput: If no patient would be left.
    """
    patients = sorted(patients)
    if isinstance(share, float) and not 0 <= share < 1:
        raise BadInput(
            f"A share of {share} of the patients can't be held out; expected one from 0 to below 1, or a whole number."
        )
    number = max(1, math.floor(share * len(patients) + 0.5)) if isinstance(share, float) and share > 0 else int(share)
    if not 0 <= number < len(patients):
        raise BadInput(
            f"{number} of {counted(len(patients), 'patient')} can't be held out, since none would be left. A patient "
            "is never split; add patients or hold out fewer."
        )
    shuffled = [patients[i] for i in np.random.default_rng([seed, 0]).permutation(len(patients))]
    groups = _stratify(shuffled, strata or {})
    shares = [number * len(group) / len(patients) for group in groups]
    counts = [math.floor(share) for share in shares]
    largest_remainders = sorted(range(len(groups)), key=lambda i: counts[i] - shares[i])
    for i in largest_remainders[: number - sum(counts)]:
        counts[i] += 1
    return tuple(sorted(patient for group, count in zip(groups, counts, strict=True) for patient in group[:count]))


def _stratify(patients: Sequence[str], strata: Mapping[str, str]) -> list[list[str]]:
    """Return the patients of each stratum, in the given order; those without a known stratum come last."""
    groups: dict[str, list[str]] = {name: [] for name in [*sorted(set(strata.values())), ""]}
    for patient in patients:
        groups[strata.get(patient, "")].append(patient)
    return list(groups.values())
