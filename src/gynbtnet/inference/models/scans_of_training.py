"""Scans that the networks of a model were trained on, for its folder, its folds, or a zip file."""

from pathlib import Path

from gynbtnet.inference.models.model_archive import open_archive
from gynbtnet.inference.models.model_loading import run_folders
from gynbtnet.training.training_scans import TrainingScans


def training_scans(model: Path) -> TrainingScans | None:
    """Return the scans that a model has seen; None if it, or one of its folds, doesn't record them.

    Args:
        model: run folder, folder of a cross-validation, or a zip file of either.

    Raises:
        BadInput: If the record is damaged.
    """
    if model.is_file():
        with open_archive(model) as unpacked:
            return training_scans(unpacked)
    runs = run_folders(model)
    known = [scans for run in runs if (scans := TrainingScans.load(run)) is not None]
    return TrainingScans.merged(known) if len(known) == len(runs) else None
