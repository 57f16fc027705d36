"""A model that is adapted to one patient, in some of its structures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.engine.adaptation_record import AdaptationRecord
from gynbtnet.inference.engine.planned_model import PlannedModel
from gynbtnet.inference.engine.segmenter import SegmentationResult
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.test_time_augmentation import Network
from gynbtnet.inference.models.model import Model
from gynbtnet.runtime.phrases import counted, enumeration


@dataclass(frozen=True, kw_only=True)
class AdaptedModel(PlannedModel):
    """A model whose logits of some structures come from an adapted network.

    Weights and digests are those of the model, which is not changed. Adapted structures have no predicted DSC, because
    it was calibrated on the model as it is.

    Attributes:
        base: the model.
        adapted: the model with the adapted network.
        record: how it was adapted.
    """

    base: Model
    adapted: Model
    record: AdaptationRecord

    @classmethod
    def combine(cls, base: Model, network: nn.Module, record: AdaptationRecord) -> "AdaptedModel":
        """Return the model that takes the structures of the record from ``network``, and all others from ``base``."""
        quality = base.quality and replace(
            base.quality,
            structures=tuple(own for own in base.quality.structures if own.structure not in record.structures),
        )
        return cls(
            folder=base.folder,
            weights=base.weights,
            sha256=base.sha256,
            plan=base.plan,
            device=base.device,
            quality=quality,
            trained_on=base.trained_on,
            base=base,
            adapted=replace(base, network=network),
            record=record,
        )

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of the weights file of the model, by its name."""
        return self.base.digests

    @property
    def adaptation(self) -> AdaptationRecord:
        """The record."""
        return self.record

    def networks(self, settings: PredictionSettings) -> tuple[Network, ...]:
        """Return one network, which combines the outputs of both."""
        (base,), (adapted,) = self.base.networks(settings), self.adapted.networks(settings)
        chosen = torch.tensor([name in self.record.structures for name in self.structures], device=self.device)
        if not chosen.any():
            return (base,)
        return (combine_outputs(base, adapted, chosen, overlapping=self.plan.overlapping),)

    def segment(self, volumes: Sequence[Volume], settings: PredictionSettings) -> SegmentationResult:
        """Segment a scan as every model does, with a note on the adaptation."""
        result = super().segment(volumes, settings)
        return replace(result, notes=(*result.notes, _note(self.record)))


def _note(record: AdaptationRecord) -> str:
    """Return a sentence on the adaptation for the page and the manifest of a prediction."""
    fractions = f"{counted(len(record.fractions), 'earlier fraction')} of the patient"
    if not record.structures:
        reason = "no gain was shown" if record.check else "a training step took too long"
        reason = "a gain can't be checked with one" if len(record.fractions) == 1 else reason
        return f"Not adapted to {fractions}, since {reason}: all contours are from the model as it is."
    names = StructureNames.load()
    adapted = enumeration([names.display_name(name) for name in record.structures])
    steps = counted(record.steps, "step")
    return f"Adapted to {fractions} in {steps}: {adapted}; all others are from the model as it is."


def combine_outputs(
    base: Callable[[Tensor], Tensor], adapted: Callable[[Tensor], Tensor], chosen: Tensor, *, overlapping: bool
) -> Network:
    """Return a function from images to logits of which some structures come from another network.

    If structures exclude each other, the logit of a structure is taken relative to the background of the same network,
    and the background gets 0.

    Args:
        base: network of the structures that aren't chosen.
        adapted: network of the chosen structures.
        chosen: bool, (structures,).
        overlapping: whether outputs are structures, without a background.
    """

    def logits(image: Tensor) -> Tensor:
        pair = [network(image) for network in (base, adapted)]
        mask = chosen.view(1, -1, 1, 1, 1)
        if overlapping:
            return torch.where(mask, pair[1], pair[0])
        odds = [values[:, 1:] - values[:, :1] for values in pair]
        combined = torch.where(mask, odds[1], odds[0])
        return torch.cat([torch.zeros_like(combined[:, :1]), combined], dim=1)

    return logits
