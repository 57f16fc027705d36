"""A trained network with the plan it was trained by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.engine.contours import Prediction
from gynbtnet.inference.engine.predict import segment
from gynbtnet.inference.engine.settings import Backend, PredictionSettings
from gynbtnet.inference.engine.test_time_augmentation import Network
from gynbtnet.inference.models.backends import prepare_network
from gynbtnet.inference.models.model_archive import open_archive
from gynbtnet.inference.quality.predicted_dsc import Quality
from gynbtnet.networks.weights_file import load_weights
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.preparation.planning.settings import Axis
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.training.planned_network import build_network


@dataclass(frozen=True)
class Model:
    """What a run folder of stage 2 or 3 holds, ready to predict.

    Attributes:
        folder: the run folder.
        weights: name of the weights' file.
        sha256: of the weights.
        network: in evaluation mode on ``device``, one output at full resolution.
        quality: what a cross-validation taught about its contours; None where it stands alone.
    """

    folder: Path
    weights: str
    sha256: str
    plan: Plan
    network: nn.Module
    device: torch.device
    quality: Quality | None = None

    @property
    def digests(self) -> Mapping[str, str]:
        """Of its one file of weights."""
        return {self.weights: self.sha256}

    @property
    def title(self) -> str:
        """What an RTSTRUCT calls it."""
        return "GynBTNet" if self.plan.network == "gynbtnet" else "Swin-UNETR"

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
    def libraries(self) -> tuple[str, ...]:
        """Distributions that its network is made of, besides PyTorch."""
        return () if self.plan.network == "gynbtnet" else ("monai",)

    def contour(self, volumes: Sequence[Volume], settings: PredictionSettings) -> Prediction:
        """:func:`gynbtnet.inference.engine.predict.segment` with this model."""
        return segment(self, volumes, settings)

    def networks(self, settings: PredictionSettings) -> tuple[Network, ...]:
        """Its one network, as the settings' backend computes it; a backend compiles once."""
        if settings.backend not in self._prepared:
            self._prepared[settings.backend] = prepare_network(
                self.network,
                settings.backend,
                self.device,
                channels=len(self.channels),
                outputs=len(self.structures) + 1,
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
        """Read plan and weights of a run folder, or of a zip of one; no code in it is executed.

        Raises:
            BadInput: where the folder is no model, its weights are damaged or another plan's, or CUDA is absent.
        """
        if folder.is_file():
            with open_archive(folder) as unpacked:
                return replace(cls.load(unpacked, weights=weights, device=device), folder=folder)
        path = folder / f"weights_{weights}.safetensors"
        for needed in (path, folder / "weights_last.safetensors"):  # the last ones are written when a run has ended
            if not needed.is_file():
                raise BadInput(f"There is no {needed}; expected a model: the folder of a finished training run.")
        plan = load_plan(folder)
        if not plan.structures:
            raise BadInput(
                f"The plan in {folder} names no structures: a pretraining run, which contours nothing, or an edited "
                "file; give the folder of a fine-tuned model."
            )
        if device == "cuda" and not torch.cuda.is_available():
            raise BadInput("device is cuda, but PyTorch sees no CUDA device here; set it to auto.")
        place = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        owner = f"the plan beside it ({plan.network} {plan.preset}, {len(plan.structures)} structures)"
        if plan.network == "gynbtnet":  # MONAI's can't be made without memory
            with torch.device("meta"):  # weights of another plan are refused by their header
                load_weights(build_network(plan, deep_supervision=False), path, owner)
        network = build_network(plan, deep_supervision=False)
        load_weights(network, path, owner)
        quality = Quality.beside(folder)
        return cls(folder, path.name, sha256_of(path), plan, network.to(place).eval(), place, quality)
