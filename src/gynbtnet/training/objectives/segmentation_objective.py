"""Objective of stages 2 and 3: segment the structures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from gynbtnet.imaging.regions import Regions
from gynbtnet.runtime.array_types import Mask
from gynbtnet.training.data.batches import Batch
from gynbtnet.training.objectives.losses import deeply_supervised, segmentation_loss
from gynbtnet.training.recording.training_pictures import contour_rows

_Counts = npt.NDArray[np.int64]


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
        regions: labels of each structure if structures overlap; None if label i + 1 is structures[i].
    """

    network: nn.Module
    structures: tuple[str, ...]
    batch_dice: bool
    title: str = "Training"
    coarsest: bool = True
    regions: Regions | None = None

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of the mean Dice and of the Dice per structure."""
        return ("dice_mean", *(f"dice_{structure}" for structure in self.structures))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the loss over the levels; a scan without contours of a structure teaches nothing about it."""
        logits = network(batch["image"])
        labels, missing = batch["labels"], batch.get("missing")
        membership = None if self.regions is None else self._membership.to(labels.device, non_blocking=True)
        if isinstance(logits, Tensor):
            return segmentation_loss(logits, labels, missing, batch_dice=self.batch_dice, membership=membership)
        return deeply_supervised(
            logits, labels, missing, batch_dice=self.batch_dice, coarsest=self.coarsest, membership=membership
        )

    def validate(self, patches: Iterable[Batch]) -> dict[str, float]:
        """Return the Dice of each structure over all ``patches`` whose scan has contours of it.

        It is NaN for a structure that is neither in the truth nor in the prediction of any of them.
        """
        overlap, total = np.zeros(len(self.structures)), np.zeros(len(self.structures))
        for patch in patches:
            known = ~patch["missing"][0].cpu().numpy() if "missing" in patch else np.ones(len(overlap), bool)
            common, both = self._count(patch["labels"].long(), self._predict(patch))
            overlap += known * common
            total += known * both
        dice = np.divide(2 * overlap, total, out=np.full(len(total), np.nan), where=total > 0)
        mean = float(np.nanmean(dice)) if np.isfinite(dice).any() else float("nan")
        return dict(zip(self.score_names, (mean, *map(float, dice)), strict=True))

    def score(self, scores: Mapping[str, float]) -> float:
        """Return the mean Dice."""
        return scores["dice_mean"]

    def picture(self, patches: Sequence[Batch]) -> Figure:
        """Plot truth and prediction on the slice of each patch with the largest area of structures."""
        scans, truths, predictions = [], [], []
        for patch in patches:
            truth, predicted = patch["labels"][0], self._predict(patch)[0]
            z = int((truth > 0).sum((1, 2)).argmax())
            scans.append(patch["image"][0, 0, z].cpu().numpy())
            truths.append(self._drawn_masks(truth[z].long()))
            predictions.append(
                _masks_of_labels(predicted[z]) if self.regions is None else _masks_with_voxels(predicted[:, z])
            )
        return contour_rows(scans, truths, predictions, self.structures)

    def _predict(self, patch: Batch) -> Tensor:
        logits = self.network(patch["image"])
        finest: Tensor = logits if isinstance(logits, Tensor) else logits[0]
        return finest.argmax(1) if self.regions is None else finest > 0

    @cached_property
    def _membership(self) -> Tensor:
        """Structures (columns) that each label (rows) is part of, bool."""
        assert self.regions is not None
        return torch.from_numpy(self.regions.membership)

    def _count(self, truth: Tensor, predicted: Tensor) -> tuple[_Counts, _Counts]:
        """Return the voxels of each structure that truth and prediction share, and the sum of those of both."""
        if self.regions is None:
            length = len(self.structures) + 1
            both = _counts(truth, length) + _counts(predicted, length)
            return _counts(truth[truth == predicted], length)[1:], both[1:]
        drawn = self._membership.to(truth.device)[truth].movedim(-1, 1)
        common, *sizes = (masks.sum((0, 2, 3, 4)).cpu().numpy() for masks in (drawn & predicted, drawn, predicted))
        return common, sizes[0] + sizes[1]

    def _drawn_masks(self, labels: Tensor) -> Mapping[int, Mask]:
        """Return the masks of a slice (y, x) of the truth, by number of the structure."""
        if self.regions is None:
            return _masks_of_labels(labels)
        return _masks_with_voxels(self._membership.to(labels.device)[labels].movedim(-1, 0))


def _masks_of_labels(labels: Tensor) -> Mapping[int, Mask]:
    array = labels.cpu().numpy()
    return {int(label): array == label for label in np.unique(array) if label}


def _masks_with_voxels(masks: Tensor) -> Mapping[int, Mask]:
    return {number: mask.cpu().numpy() for number, mask in enumerate(masks, start=1) if mask.any()}


def _counts(labels: Tensor, length: int) -> _Counts:
    return torch.bincount(labels.flatten(), minlength=length).cpu().numpy()
