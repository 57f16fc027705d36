"""State of a model that learns from corrections: its first model, the assignment of patients and the ledger."""

from dataclasses import dataclass
from pathlib import Path

from gynbtnet.commissioning.training_overlap import find_trained_on
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.inference.models.scans_of_training import training_scans
from gynbtnet.learning.assignment import Assignment
from gynbtnet.learning.learning_folder import LearningFolder
from gynbtnet.learning.ledger import Ledger
from gynbtnet.learning.settings import LearningSettings
from gynbtnet.learning.short_training import training_settings
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, sha256_of, write_json
from gynbtnet.runtime.phrases import counted
from gynbtnet.training.run_folder import RunFolder
from gynbtnet.training.settings import SegmentationSettings


@dataclass(frozen=True)
class LearningState:
    """Knowledge before a call adds reviews.

    Attributes:
        first_training: settings by which the first model was trained.
        assignment: group of each patient.
        ledger: all reviews so far.
    """

    first_training: SegmentationSettings
    assignment: Assignment
    ledger: Ledger


@dataclass(frozen=True)
class _Setup:
    """Content of ``learning.json``: SHA-256 of the first model's weights, and the settings of its training."""

    start: str
    training: SegmentationSettings


def open_state(
    folders: LearningFolder, model: Path, cohort: Cohort, split: Split | None, fold: int, settings: LearningSettings
) -> LearningState:
    """Read the state of earlier calls, or make it at the first call.

    Args:
        folders: folder of the state.
        model: run folder of the first model.
        cohort: cohort that it was trained on.
        split: its split; needed at the first call.
        fold: fold of the split whose patients validated it.
        settings: settings of learning.

    Raises:
        BadInput: If model, cohort, split, settings and earlier calls don't belong together.
    """
    training = training_settings(model)
    plan = load_plan(model)
    if plan.structures != cohort.structures:
        raise BadInput(
            f"The model {model} has the structures {', '.join(plan.structures) or '(none)'}, but the cohort "
            f"{cohort.folder} has {', '.join(cohort.structures) or '(none)'}; give the cohort that it was trained on."
        )
    automatic = sum(case.source.automatic for case in cohort.cases)
    if automatic:
        raise BadInput(
            f"The contours of {automatic} of {counted(len(cohort.cases), 'case')} in {cohort.folder} were predicted by "
            "GynBTNet and nobody has approved them; a model can't be trained on them or judged by them. Ingest the "
            "cohort without them, and review them here."
        )
    weights = RunFolder(model).last_weights
    if not weights.is_file():
        raise BadInput(f"There is no {weights}; expected the folder of a training run that has ended.")
    if not folders.setup.is_file():
        _make(folders, _Setup(sha256_of(weights), training), model, cohort, split, fold, settings)
    setup = read_json(_Setup, folders.setup, "restore it from a backup")
    if setup.start != sha256_of(weights):
        raise BadInput(
            f"{folders.folder} learns from another first model than {model}; leave --from as it was, since the latest "
            "champion is continued anyway, or give another --out."
        )
    ledger = Ledger.load(folders.ledger)
    if ledger.untouched != settings.untouched:
        raise BadInput(
            f"{folders.folder} was begun with untouched = {ledger.untouched}, but now it is {settings.untouched}; "
            "leave it as it was, or give another --out."
        )
    assignment = Assignment.load(folders.assignment)
    if split is not None:
        assignment.check_split(split, fold)
    absent = set(assignment.patients_of("frozen test")).difference(cohort.patients)
    if absent:
        raise BadInput(
            f"The cohort {cohort.folder} lacks {counted(len(absent), 'patient')} of the frozen test; scores of earlier "
            "and later models couldn't be compared. Give the cohort with all of them."
        )
    assignment = assignment.with_patients(cohort.patients, settings.validation)
    assignment.save(folders.assignment)
    return LearningState(setup.training, assignment, ledger)


def _make(
    folders: LearningFolder,
    setup: _Setup,
    model: Path,
    cohort: Cohort,
    split: Split | None,
    fold: int,
    settings: LearningSettings,
) -> None:
    """Write the state of the first call; the setup comes last and marks it as complete."""
    own = {folders.assignment.name, folders.ledger.name, folders.frozen_tests.name}
    others = [path for path in folders.folder.glob("[!.]*") if path.name not in own]
    if others:
        raise BadInput(f"{folders.folder} contains files but no {folders.setup.name}; give a new or an empty folder.")
    if split is None:
        raise BadInput(
            "The first call needs --split, the split by which the model was trained; its test patients are the frozen "
            "test that never trains."
        )
    split.check(cohort)
    assignment = Assignment.of_split(split, fold, settings.seed)
    _check_frozen_test(model, cohort.of_patients(split.test))
    assignment.save(folders.assignment)
    Ledger(settings.untouched).save(folders.ledger)
    write_json(setup, folders.setup)


def _check_frozen_test(model: Path, frozen: Cohort) -> None:
    """Check that the first model hasn't learned from the frozen test, if it records its scans."""
    scans = training_scans(model)
    if scans is None:
        return
    same_voxels, same_files = find_trained_on(frozen, scans)
    patients = {case.patient for case in (*same_voxels, *same_files)}
    if patients:
        raise BadInput(
            f"The model {model} was trained on {len(patients)} of {counted(len(frozen.patients), 'test patient')} of "
            "the split, for whom it would be too good; give the split of its training."
        )
