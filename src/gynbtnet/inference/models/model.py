"""A trained network with the plan of its training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from gynbtnet.inference.engine.planned_model import PlannedModel
from gynbtnet.inference.engine.settings import Backend, PredictionSettings
from gynbtnet.inference.engine.test_time_augmentation import Network
from gynbtnet.inference.models.backends import prepare_network
from gynbtnet.inference.models.model_archive import open_archive
from gynbtnet.inference.quality.predicted_dsc import Quality
from gynbtnet.networks.weights_file import load_weights
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.phrases import counted
from gynbtnet.training.planned_network import build_network
from gynbtnet.training.training_data import TrainingData


@dataclass(frozen=True, kw_only=True)
class Model(PlannedModel):
    """One trained network, loaded from a run folder of stage 2 or 3.

    Attributes:
        network: in evaluation mode on ``device``, with one output at full resolution.
    """

    network: nn.Module

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of the weights file, by its name."""
        return {self.weights: self.sha256}

    def networks(self, settings: PredictionSettings) -> tuple[Network, ...]:
        """Return the network, prepared for the backend of the settings; it is compiled once per backend."""
        if settings.backend not in self._prepared:
            self._prepared[settings.backend] = prepare_network(
                self.network,
                settings.backend,
                self.device,
                channels=len(self.channels),
                outputs=self.plan.outputs,
                window=self.plan.patch_size,
            )
        return (self._prepared[settings.backend],)

    @cached_property
    def _prepared(self) -> dict[Backend, Network]:
        return {}

    @classmethod
    def load(
        cls, folder: Path, *, weights: Literal["last", "best"] = "last", device: Literal["auto", "cpu", "cuda"] = "auto"
    ) -> "Model":
        """Load plan and weights of a run folder, or of a zip file of one; no code in it is executed.

        Args:
            folder: run folder or zip file.
            weights: "last": end of the training; "best": best smoothed validation score.
            device: "auto": the GPU if there is one.

        Raises:
            BadInput: If the folder contains no model, or its weights are damaged or belong to another plan. Also if
                CUDA is asked for and not available.
        """
        folder = Path(folder)
        if folder.is_file():
            with open_archive(folder) as unpacked:
                return replace(cls.load(unpacked, weights=weights, device=device), folder=folder)
        path = folder / f"weights_{weights}.safetensors"
        last = folder / "weights_last.safetensors"
        if not last.is_file():  # they are written when a run has ended
            raise BadInput(
                f"There is no {last}; expected a model: the folder of a finished training run.{_hint(folder)}"
            )
        if not path.is_file():
            raise BadInput(
                f"There is no {path}, which weights: best needs; copy or export the model again with it. With --set "
                "weights=last, `gynbtnet predict` takes those of the end of the training."
            )
        plan = load_plan(folder)
        if not plan.structures:
            raise BadInput(
                f"The plan in {folder} names no structures, so it belongs to a pretraining run or was edited; give the "
                "folder of a fine-tuned model."
            )
        if device == "cuda" and not torch.cuda.is_available():
            raise BadInput("device is cuda, but PyTorch finds no CUDA device; set it to auto.")
        selected = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        owner = f"the plan in its folder ({plan.network} {plan.preset}, {counted(len(plan.structures), 'structure')})"
        if plan.network == "gynbtnet":  # MONAI's network can't be built without memory
            with torch.device("meta"):  # the header alone shows that weights belong to another plan
                load_weights(build_network(plan, deep_supervision=False), path, owner)
        network = build_network(plan, deep_supervision=False)
        load_weights(network, path, owner)
        return cls(
            folder=folder,
            weights=path.name,
            sha256=sha256_of(path),
            plan=plan,
            network=network.to(selected).eval(),
            device=selected,
            quality=Quality.load(folder),
            trained_on=TrainingData.load(folder),
        )


def _hint(folder: Path) -> str:
    """Return a sentence with the model of an experiment, if the folder is one or is that of an earlier stage."""
    for model in (folder / "runs" / "task", folder.parent / "task"):
        if (model / "weights_last.safetensors").is_file():
            return f" The model of this experiment is {model}."
    models = sorted((folder / "models").glob("*/task"))
    return f" The models of this benchmark are {', '.join(map(str, models))}." if models else ""
