"""Objective of stages 2 and 3: segment the structures."""

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
    """Dice and cross-entropy on labelled patches; the score is the mean Dice over structures on all validation patches.

    If ``network`` returns the logits of every decoder level, the loss uses all of them, or all except the coarsest.

    Attributes:
        network: segmentation network.
        structures: names of the structures; label i + 1 is structures[i].
        batch_dice: compute the Dice loss over the whole batch instead of per patch.
        title: title of the progress bar.
        coarsest: if True, the loss uses the coarsest level too.
    """

    network: nn.Module
    structures: tuple[str, ...]
    batch_dice: bool
    title: str = "Training"
    coarsest: bool = True

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of the mean Dice and of the Dice per structure."""
        return ("dice_mean", *(f"dice_{structure}" for structure in self.structures))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the loss over the levels; a scan without contours of a structure teaches nothing about it."""
        logits = network(batch["image"])
        labels, missing = batch["labels"], batch.get("missing")
        if isinstance(logits, Tensor):
            return dice_ce(logits, labels, missing, batch_dice=self.batch_dice)
        return deeply_supervised(logits, labels, missing, batch_dice=self.batch_dice, coarsest=self.coarsest)

    def validate(self, patches: Iterable[Batch]) -> dict[str, float]:
        """Return the Dice of each structure over all ``patches`` whose scan has contours of it.

        It is NaN for a structure that is neither in the truth nor in the prediction of any of them.
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
        """Return the mean Dice."""
        return scores["dice_mean"]

    def picture(self, patches: Sequence[Batch]) -> Figure:
        """Plot truth and prediction on the slice of each patch with the largest area of structures."""
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
