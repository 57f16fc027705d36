"""Check that no local patient is one of the model's training, by the files and by the voxels of every scan."""

from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.files.voxel_digest import voxel_digest
from gynbtnet.inference.models.scans_of_training import training_scans
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import track
from gynbtnet.training.training_scans import TrainingScans


@dataclass(frozen=True)
class TrainingCheck:
    """Result of the check; there is none if a training patient was found, which is an error.

    Attributes:
        complete: whether the digests of all training scans are known.
        sentence: result in words.
    """

    complete: bool
    sentence: str


def check_not_trained_on(cohort: Cohort, model: Path) -> TrainingCheck:
    """Compare the local scans with those that a model has seen in any stage.

    Args:
        cohort: local cases.
        model: run folder, folder of a cross-validation, or a zip file of either.

    Returns:
        The result in words.

    Raises:
        BadInput: If a local scan is one of the training.
    """
    scans = training_scans(model)
    if scans is None:
        return TrainingCheck(
            False,
            "The model doesn't record the scans of its training, so nobody has checked that the local patients were "
            "not among them. Train it again with this version, or check it by hand.",
        )
    same_voxels, same_files = find_trained_on(cohort, scans)
    if same_voxels or same_files:
        patients = sorted({case.patient for case in (*same_voxels, *same_files)})
        ways = [
            f"{counted(len(cases), 'scan')} with the same {what}, first {cases[0].id}"
            for cases, what in ((same_voxels, "voxels"), (same_files, "files"))
            if cases
        ]
        raise BadInput(
            f"{counted(len(patients), 'patient')} of the local cases {'is' if len(patients) == 1 else 'are'} among the "
            f"scans that the model was trained on ({', '.join(ways)}); expected new patients. "
            f"Leave out {', '.join(patients[:5])}{' and others' if len(patients) > 5 else ''}, or give a --split."
        )
    sentence = (
        f"No local scan is one of the training: {counted(len(cohort.cases), 'scan')} compared with "
        f"{len(scans.voxels)} by digests of voxels and files. Another scan of a training patient, or a cropped "
        "or resampled copy, would not be recognised."
    )
    if scans.is_complete:
        return TrainingCheck(True, sentence)
    unknown = [f"{counted(scans.without_digest, 'training scan')} without a digest"] if scans.without_digest else []
    unknown += [] if scans.earlier_stages_known else ["the scans of earlier stages"]
    return TrainingCheck(False, f"{sentence} Not known and not compared: {' and '.join(unknown)}.")


def find_trained_on(cohort: Cohort, scans: TrainingScans) -> tuple[list[Case], list[Case]]:
    """Return the cases whose scan is one of a training.

    Args:
        cohort: the cases.
        scans: scans of the training.

    Returns:
        Cases with the same voxels, and the others with the same files.
    """
    voxels, files = frozenset(scans.voxels), frozenset(scans.files)
    same_voxels, same_files = [], []
    for case in track(cohort.cases, "Comparing scans with the training"):
        if voxel_digest(read_volume(case.image)) in voxels:
            same_voxels.append(case)
        elif files.intersection(case.source.sha256.values()):
            same_files.append(case)
    return same_voxels, same_files
