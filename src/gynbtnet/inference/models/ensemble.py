"""The models of all folds as one, and whatever model a folder holds."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.engine.contours import Prediction
from gynbtnet.inference.engine.mirroring import tta_axes
from gynbtnet.inference.engine.predict import segment
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.test_time_augmentation import Network
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_archive import open_archive
from gynbtnet.inference.quality.predicted_dsc import Quality
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.preparation.planning.settings import Axis
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class Ensemble:
    """The folds of a cross-validation, whose logits are averaged as nnU-Net averages them.

    All are held in memory, so that each window is read once: of preset L 1.8 GB each.

    Attributes:
        folder: what holds ``fold_0``, ``fold_1`` and so on.
        members: the models, of one plan.
        plan: theirs, with what the cross-validation that trained them found out.
        quality: what it taught about contours; None where it wasn't one.
    """

    folder: Path
    members: tuple[Model, ...]
    plan: Plan
    quality: Quality | None = None

    @property
    def title(self) -> str:
        """What an RTSTRUCT calls it."""
        return self.members[0].title

    @property
    def weights(self) -> str:
        """Name of each member's weights' file."""
        return self.members[0].weights

    @property
    def sha256(self) -> str:
        """Of the members' weights, in their order."""
        return hashlib.sha256("".join(member.sha256 for member in self.members).encode()).hexdigest()

    @property
    def digests(self) -> Mapping[str, str]:
        """Of each member's weights, by its fold."""
        return {f"{member.folder.name}/{member.weights}": member.sha256 for member in self.members}

    @property
    def channels(self) -> tuple[str, ...]:
        """What each volume is that it reads."""
        return self.plan.channels

    @property
    def structures(self) -> tuple[str, ...]:
        """What it contours, in label order."""
        return self.plan.structures

    @property
    def mirror_axes(self) -> tuple[Axis, ...]:
        """The patient's axes that were mirrored in training."""
        return self.plan.mirror_axes

    @property
    def device(self) -> torch.device:
        """Where all members compute."""
        return self.members[0].device

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions that its networks are made of, besides PyTorch."""
        return self.members[0].libraries

    def networks(self, settings: PredictionSettings) -> tuple[Network, ...]:
        """What is averaged: as many members as the settings say, the first ones."""
        return tuple(network for member in self.members[: settings.folds] for network in member.networks(settings))

    def contour(self, volumes: Sequence[Volume], settings: PredictionSettings) -> Prediction:
        """:func:`gynbtnet.inference.engine.predict.segment` with all members."""
        return segment(self, volumes, settings)

    @classmethod
    def load(cls, folder: Path, settings: PredictionSettings) -> "Ensemble":
        """The folds in a folder, or as many of them as the settings say; only these are read.

        Raises:
            BadInput: where a fold is no finished run, or was trained by another plan than the first or than the one
                beside them.
        """
        folds = _folds(folder)[: settings.folds]
        members = tuple(Model.load(fold, weights=settings.weights, device=settings.device) for fold in folds)
        for member in members:
            if replace(member.plan, notes=()) != replace(members[0].plan, notes=()):
                raise BadInput(
                    f"{member.folder} was trained by another plan than {members[0].folder}; an ensemble's folds have "
                    "one plan, as `gynbtnet finetune --every-fold` trains them."
                )
        return cls(folder, members, _merge_calibration(folder, members[0].plan), Quality.beside(folder))


def load_model(folder: Path, settings: PredictionSettings | None = None) -> Model | Ensemble:
    """The model that a run folder is, or the ensemble of the run folders ``fold_0``, ``fold_1`` and so on in it.

    Either may be zipped.

    Raises:
        BadInput: If the folder is neither, its files are damaged or don't belong together, or the settings mirror an
            axis that wasn't mirrored in training.
    """
    settings = settings or PredictionSettings()
    if not folder.exists():
        raise BadInput(
            f"There is no {folder}; expected a model: a run folder, that of a cross-validation, or a zip of one."
        )
    if folder.is_file():
        with open_archive(folder) as unpacked:
            return replace(load_model(unpacked, settings), folder=folder)
    several = _folds(folder) and not any(folder.glob("weights_*.safetensors"))
    model = (
        Ensemble.load(folder, settings)
        if several
        else Model.load(folder, weights=settings.weights, device=settings.device)
    )
    tta_axes(settings, model.mirror_axes, str(folder))
    return model


def _merge_calibration(folder: Path, trained_by: Plan) -> Plan:
    """The folds' plan with the volumes and rules of the one beside them, where there is one."""
    if not (folder / "plans.json").is_file():
        return trained_by
    beside = load_plan(folder)
    if replace(trained_by, notes=(), volumes=(), postprocessing=()) != replace(
        beside, notes=(), volumes=(), postprocessing=()
    ):
        raise BadInput(
            f"{folder / 'plans.json'} is another plan than that of the folds beside it; copy it again from where they "
            "were trained, or call `gynbtnet finetune --every-fold` again."
        )
    return replace(trained_by, volumes=beside.volumes, postprocessing=beside.postprocessing)


def _folds(folder: Path) -> list[Path]:
    numbered = [path for path in folder.glob("fold_*") if path.is_dir() and path.name[5:].isdecimal()]
    return sorted(numbered, key=lambda path: int(path.name[5:]))
