"""Counts of the cohort that a model was trained on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.exports.card.model_facts import ModelFacts
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted


@dataclass(frozen=True)
class TrainingCohort:
    """Counts of a cohort without its test patients.

    Attributes:
        patients: number of patients.
        scans: number of scans.
        held_out: number of test patients; None if no split was given.
        synthetic: True if no real patient was scanned.
        spacing: median voxel spacing (z, y, x), mm.
        applicators: number of patients by applicator, "unknown" included.
        contoured: number of patients by structure.
        automatic: number of scans whose contours are predictions that nobody has approved.
    """

    patients: int
    scans: int
    held_out: int | None
    synthetic: bool
    spacing: tuple[float, float, float]
    applicators: Mapping[str, int]
    contoured: Mapping[str, int]
    automatic: int


def read_training_cohort(folder: Path, split: Path | None, facts: ModelFacts) -> TrainingCohort:
    """Count the patients and scans of a cohort, without the test patients.

    Args:
        folder: the cohort that the model was trained on.
        split: split with the test patients; None: there were none.
        facts: facts of the model.

    Raises:
        BadInput: If cohort, split and model don't belong together.
    """
    cohort = Cohort.load(folder)
    folds = Split.load(split) if split else None
    if folds is not None:
        folds.check(cohort)
        cohort = cohort.of_patients(set(cohort.patients).difference(folds.test))
    absent = [name for name in facts.plan.structures if name not in cohort.structures]
    trained = facts.trained_on
    too_few = trained is not None and trained.patients > len(cohort.patients)
    if absent or too_few or not cohort.cases:
        reason = f"has no {absent[0]}" if absent else "has fewer patients than the training"
        raise BadInput(f"The cohort {folder} {reason}; give the cohort and the split that the model was trained on.")
    unseen = _unseen(cohort, facts)
    if unseen:
        raise BadInput(
            f"{counted(unseen, 'scan')} with contours of {counted(len(cohort.cases), 'scan')} of the cohort {folder} "
            f"{'was' if unseen == 1 else 'were'} not in the training of the model; give the cohort and the split that "
            "it was trained on."
        )
    z, y, x = np.median([case.geometry.spacing for case in cohort.cases], axis=0)
    known = cohort.applicators
    return TrainingCohort(
        patients=len(cohort.patients),
        scans=len(cohort.cases),
        held_out=len(folds.test) if folds else None,
        synthetic=cohort.synthetic,
        spacing=(float(z), float(y), float(x)),
        applicators=Counter(known.get(patient, "unknown") for patient in cohort.patients),
        contoured={
            name: len({case.patient for case in cohort.cases if case.volumes_cm3.get(name, 0) > 0})
            for name in facts.plan.structures
        },
        automatic=sum(case.source.automatic for case in cohort.cases),
    )


def _unseen(cohort: Cohort, facts: ModelFacts) -> int:
    """Return the number of scans with contours whose files were certainly not in the training."""
    if facts.scans is None or not facts.scans.files:
        return 0
    trained = set(facts.scans.files)
    digests = [set(case.source.sha256.values()) for case in cohort.cases if case.labels is not None]
    return sum(bool(own) and trained.isdisjoint(own) for own in digests)
