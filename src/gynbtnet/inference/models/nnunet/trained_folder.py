"""Files of a folder that nnU-Net 2 trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_json

CHECKPOINTS = {"last": "checkpoint_final.pth", "best": "checkpoint_best.pth"}
"""Names of nnU-Net's checkpoints, by the name of our weights."""
_ALL = "fold_all"
_EXPECTED = "expected a folder as nnU-Net trains it, such as nnUNetTrainer__nnUNetPlans__3d_fullres with fold_0"


@dataclass(frozen=True)
class TrainedFolder:
    """Files of a configuration that nnU-Net trained.

    Attributes:
        path: folder with ``plans.json`` and ``dataset.json``, named trainer, plans and configuration.
        checkpoints: checkpoint of each fold, by number; that of ``fold_all`` if there are no others.
        plans: content of ``plans.json``.
        dataset: content of ``dataset.json``.
    """

    path: Path
    checkpoints: tuple[Path, ...]
    plans: dict[str, Any]
    dataset: dict[str, Any]

    @classmethod
    def open(cls, path: Path, weights: Literal["last", "best"] = "last", folds: int | None = None) -> "TrainedFolder":
        """Return the files of a folder that :func:`is_trained_by_nnunet` recognises.

        Args:
            path: trained folder, one of its folds, or a folder with a single trained folder.
            weights: "last": end of the training; "best": best smoothed validation score.
            folds: number of folds; None: all.

        Raises:
            BadInput: If a file is absent or damaged, or the folder contains several trained folders.
        """
        found = _trained_folders(path)
        if len(found) != 1:
            names = ", ".join(folder.name for folder in found)
            raise BadInput(f"{path} contains several trained folders ({names}); give one of them.")
        folder = found[0]
        own_fold = [path] if path != folder and path.parent == folder else _folds(folder)
        name = CHECKPOINTS[weights]
        checkpoints = tuple(fold / name for fold in own_fold if (fold / name).is_file())
        if not checkpoints:
            raise BadInput(f"No fold in {folder} contains {name}; {_EXPECTED}/{name}.")
        return cls(folder, checkpoints[:folds], _read(folder / "plans.json"), _read(folder / "dataset.json"))

    def sibling(self, configuration: str) -> Path:
        """Return the folder of another configuration with the same trainer and plans, such as ``3d_lowres``.

        Raises:
            BadInput: If there is no such folder.
        """
        start, separator, _ = self.path.resolve().name.rpartition("__")
        sibling = self.path.resolve().parent / f"{start}{separator}{configuration}"
        if not separator or not is_trained_by_nnunet(sibling):
            raise BadInput(
                f"{self.path} refines the predictions of the configuration {configuration}, whose folder was not found "
                f"at {sibling}; copy it there, or give a folder of 3d_fullres."
            )
        return sibling


def is_trained_by_nnunet(path: Path) -> bool:
    """Return whether a folder, or the only one of its kind in it, was trained by nnU-Net: it has a checkpoint."""
    return bool(_trained_folders(path))


def _trained_folders(path: Path) -> list[Path]:
    """Return the folder itself, the folder of a fold, or all trained folders in it."""
    for folder in (path, path.parent) if path.name.startswith("fold_") else (path,):
        if _has_checkpoint(folder):
            return [folder]
    return sorted(folder for folder in path.glob("*__*__*") if _has_checkpoint(folder))


def _has_checkpoint(folder: Path) -> bool:
    return (folder / "plans.json").is_file() and any(folder.glob("fold_*/checkpoint_*.pth"))


def _folds(folder: Path) -> list[Path]:
    """Return the folders ``fold_<number>`` by number, or ``fold_all`` if there are no others, as nnU-Net does."""
    numbered = [path for path in folder.glob("fold_*") if path.name[5:].isdecimal()]
    return sorted(numbered, key=lambda path: int(path.name[5:])) or [folder / _ALL]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = load_json(path)
    except (OSError, PlainDataError) as error:
        raise BadInput(f"{path} is absent or damaged ({error}); {_EXPECTED}.") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} is not a table of values; {_EXPECTED}.")
    return content
