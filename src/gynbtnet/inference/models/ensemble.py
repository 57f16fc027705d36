"""Several models of one plan, whose logits are averaged."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.inference.engine.planned_model import PlannedModel
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.test_time_augmentation import Network
from gynbtnet.inference.quality.predicted_dsc import Quality
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.training.training_data import TrainingData


@dataclass(frozen=True, kw_only=True)
class Ensemble(PlannedModel):
    """The folds of a cross-validation, whose logits are averaged as nnU-Net averages them.

    All members are in memory, 1.8 GB each with preset L, so that each window is read once. Name of the weights file and
    device are those of the first member. ``sha256`` is the digest of the members' digests, in their order.

    Attributes:
        members: models of one plan.
    """

    members: tuple[Segmenter, ...]

    @classmethod
    def combine(
        cls, folder: Path, members: Sequence[Segmenter], plan: Plan, quality: Quality | None = None
    ) -> "Ensemble":
        """Return the ensemble of ``members``.

        Args:
            folder: folder that contains ``fold_0``, ``fold_1``, ….
            members: at least one, all of one plan.
            plan: plan of the members, with the rules and volumes of their cross-validation.
            quality: calibration of the cross-validation; None if there is none.
        """
        first = members[0]
        return cls(
            folder=folder,
            weights=first.weights,
            sha256=hashlib.sha256("".join(member.sha256 for member in members).encode()).hexdigest(),
            plan=plan,
            device=first.device,
            quality=quality,
            trained_on=TrainingData.of_folds(member.trained_on for member in members),
            members=tuple(members),
        )

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of each member's weights file, by fold and name."""
        return {f"{member.folder.name}/{member.weights}": member.sha256 for member in self.members}

    def networks(self, settings: PredictionSettings) -> tuple[Network, ...]:
        """Return the networks of as many members as the settings specify, from the first."""
        return tuple(network for member in self.members[: settings.folds] for network in member.networks(settings))
