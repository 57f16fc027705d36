"""Assignment of patients to training, validation and the frozen test: made once for each patient, for ever."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gynbtnet.datasets.split import Split
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json
from gynbtnet.runtime.phrases import counted

Group = Literal["training", "validation", "frozen test"]


@dataclass(frozen=True)
class Assignment:
    """Group of each patient, by study ID.

    Attributes:
        groups: group of each patient. No method changes the group of a patient who has one.
        seed: seed of the draws for new patients.
    """

    groups: Mapping[str, Group]
    seed: int = 0

    @classmethod
    def of_split(cls, split: Split, fold: int, seed: int = 0) -> "Assignment":
        """Return the assignment by which a model was trained; the test patients are the frozen test.

        Args:
            split: split of the model's cohort.
            fold: fold whose patients validated the model.
            seed: seed of the draws for new patients.

        Raises:
            BadInput: If there is no such fold, or there are no test patients.
        """
        if not split.test:
            raise BadInput(
                "The split has no test patients, so nothing could decide between two models; make one with "
                "`gynbtnet split --test`."
            )
        validation = split.validation_patients(fold)
        groups: dict[str, Group] = dict.fromkeys(split.test, "frozen test")
        groups |= dict.fromkeys(validation, "validation")
        groups |= dict.fromkeys(split.training_patients(fold), "training")
        return cls(groups, seed)

    def with_patients(self, patients: Iterable[str], validation: float) -> "Assignment":
        """Return the assignment with new patients; none of them is ever in the frozen test.

        The group of a new patient depends on the study ID and the seed alone, not on who else is new.

        Args:
            patients: study IDs, known or new.
            validation: probability of validation.
        """
        new = sorted(set(patients).difference(self.groups))
        drawn: dict[str, Group] = {
            patient: "validation" if _uniform(self.seed, patient) < validation else "training" for patient in new
        }
        return replace(self, groups={**self.groups, **drawn})

    def patients_of(self, group: Group) -> tuple[str, ...]:
        """Return the patients of a group, sorted."""
        return tuple(sorted(patient for patient, own in self.groups.items() if own == group))

    def check_split(self, split: Split, fold: int) -> None:
        """Check that a split doesn't contradict the assignment.

        Raises:
            BadInput: If a patient would change the group.
        """
        given = Assignment.of_split(split, fold).groups
        moved = [patient for patient, group in given.items() if self.groups.get(patient, group) != group]
        if moved:
            raise BadInput(
                f"The split puts {counted(len(moved), 'patient')} into another group than the one assigned before; a "
                "patient never changes the group. Omit --split, or give another --out."
            )

    def save(self, path: Path) -> None:
        """Write the assignment as JSON, atomically."""
        write_json(self, path)

    @classmethod
    def load(cls, path: Path) -> "Assignment":
        """Read an assignment that :meth:`save` wrote; raise BadInput if it is damaged."""
        return read_json(cls, path, "restore it from a backup; without it patients could move between groups")


def _uniform(seed: int, patient: str) -> float:
    """Return a number from 0 to below 1 that depends on seed and patient alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{patient}".encode()).digest()[:6]) / 2**48
