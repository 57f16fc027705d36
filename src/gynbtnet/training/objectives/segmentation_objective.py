"""Stages 2 and 3: learn the contours."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from gynbtnet.training.data.batches import Batch
from gynbtnet.training.objectives.losses import deeply_supervised, dice_ce
from gynbtnet.training.training_pictures import contour_rows


@dataclass(frozen=True)
class SegmentationObjective:
    """DiceCE on labelled patches; the score is the mean over structures of the Dice on all validation patches together.

    Where ``network`` answers with the logits of every decoder level, the loss looks at them all, or without
    ``coarsest`` at all but the coarsest.
    """

    network: nn.Module
    structures: tuple[str, ...]
    batch_dice: bool
    title: str = "Training"
    coarsest: bool = True

    @property
    def score_names(self) -> tuple[str, ...]:
        """The mean, then each structure."""
        return ("dice_mean", *(f"dice_{structure}" for structure in self.structures))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Mean of Dice loss and cross-entropy over the levels; what a scan leaves out is not taught by it."""
        logits = network(batch["image"])
        labels, missing = batch["labels"], batch.get("missing")
        if isinstance(logits, Tensor):
            return dice_ce(logits, labels, missing, batch_dice=self.batch_dice)
        return deeply_supervised(logits, labels, missing, batch_dice=self.batch_dice, coarsest=self.coarsest)

    def validate(self, patches: Iterable[Batch]) -> dict[str, float]:
        """Dice of each structure over all ``patches`` whose scan contours it.

        NaN for one that is in none of them, nor found in any.
        """
        overlap, total = np.zeros(len(self.structures) + 1), np.zeros(len(self.structures) + 1)
        for patch in patches:
            truth, predicted = patch["labels"].long(), self._predict(patch)
            known = np.ones(len(overlap), bool)
            if "missing" in patch:
                known[1:] = ~patch["missing"][0].cpu().numpy()
            overlap += known * _counts(truth[truth == predicted], len(overlap))
            total += known * (_counts(truth, len(total)) + _counts(predicted, len(total)))
        dice = np.divide(2 * overlap, total, out=np.full(len(total), np.nan), where=total > 0)[1:]
        mean = float(np.nanmean(dice)) if np.isfinite(dice).any() else float("nan")
        return dict(zip(self.score_names, (mean, *map(float, dice)), strict=True))

    def score(self, scores: Mapping[str, float]) -> float:
        """The mean Dice."""
        return scores["dice_mean"]

    def picture(self, patches: Sequence[Batch]) -> Figure:
        """Truth and prediction on the slice of each patch that shows most of the structures."""
        scans, truths, predictions = [], [], []
        for patch in patches:
            truth, predicted = patch["labels"][0].cpu().numpy(), self._predict(patch)[0].cpu().numpy()
            z = int((truth > 0).sum((1, 2)).argmax())
            scans.append(patch["image"][0, 0, z].cpu().numpy())
            truths.append(truth[z])
            predictions.append(predicted[z])
        return contour_rows(scans, truths, predictions, len(self.structures))

    def _predict(self, patch: Batch) -> Tensor:
        logits = self.network(patch["image"])
        finest: Tensor = logits if isinstance(logits, Tensor) else logits[0]
        return finest.argmax(1)


def _counts(labels: Tensor, length: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return torch.bincount(labels.flatten(), minlength=length).cpu().numpy()
