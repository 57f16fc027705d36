"""Test-time augmentation: average over ensemble members and mirror images, and the agreement of these passes."""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from math import nan

import torch
from torch import Tensor

from gynbtnet.inference.engine.argmax import argmax_labels
from gynbtnet.runtime.array_types import Box
from gynbtnet.training.objectives.losses import sums_by_label

_LOG = logging.getLogger(__name__)

Network = Callable[[Tensor], Tensor]
"""Function from images (batch, channels, z, y, x) to logits (batch, outputs, z, y, x)."""

_X = 4  # of a window (1, channels, z, y, x)


class AveragedForward:
    """Mean of the logits of all forward passes; as in nnU-Net, logits are averaged and not probabilities.

    This is a :data:`~gynbtnet.inference.engine.sliding_window.WindowNetwork`. It also counts the labels of each pass
    and of the mean. Only voxels closest to the window's centre are counted, so each voxel of the scan counts once.

    Args:
        networks: functions from (batch, channels, z, y, x) to (batch, outputs, z, y, x) of the same size.
        mirrored: axes of the window, 0 to 2, that are mirrored, in all combinations.
        mirrored_labels: for each output, the output of the same structure after x is mirrored; None if labels have no
            side.
        overlapping: whether outputs are the logits of structures that may overlap. A background with logit 0 is then
            put before them, so that differences to output 0 are these logits.
        images_at_once: mirror images that a network computes as one batch; fewer if a GPU's memory runs out.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        mirrored: Sequence[int] = (),
        mirrored_labels: Sequence[int] | None = None,
        *,
        overlapping: bool = False,
        images_at_once: int = 1,
    ) -> None:
        axes = [axis + 2 for axis in mirrored]
        flips = [flip for count in range(len(axes) + 1) for flip in combinations(axes, count)]
        self._networks, self._flips = tuple(networks), flips
        self._images_at_once = min(images_at_once, len(flips))
        self._mirrored_labels = None if mirrored_labels is None else list(mirrored_labels)
        self._overlapping = overlapping
        self._counts: Tensor | None = None  # (passes, 3, structures), see _count

    def __call__(self, window: Tensor, cell: Box) -> Tensor:
        """Return the mean logits of a window: (1, channels, z, y, x) → (1, outputs, z, y, x), float32."""
        mean: Tensor | None = None
        labels = []
        passes = len(self._networks) * len(self._flips)
        for logits, mirrored_x in self._logits(window):
            if self._overlapping:
                logits = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)
            if self._mirrored_labels is not None and mirrored_x:
                logits = logits[:, self._mirrored_labels]
            if passes > 1:
                labels.append(self._decided(logits, cell))
            mean = logits.float() if mean is None else mean.add_(logits)
            del logits  # otherwise they would be in memory together with the next pass's
        assert mean is not None
        mean /= passes
        if labels:
            self._count(labels, self._decided(mean, cell), mean.shape[1])
        return mean

    def agreement(self, structures: Sequence[str]) -> dict[str, float]:
        """Return the mean Dice coefficient of the passes with their mean, by structure.

        It is NaN if there was one pass, or if the mean contains no voxel of the structure.
        """
        if self._counts is None:
            return dict.fromkeys(structures, nan)
        own, of_mean, overlaps = self._counts.cpu().double().unbind(1)
        dice = (2 * overlaps / (own + of_mean)).mean(0)
        return {name: float(dice[i]) if of_mean[0, i] else nan for i, name in enumerate(structures)}

    def _logits(self, window: Tensor) -> Iterator[tuple[Tensor, bool]]:
        """Yield the logits (1, outputs, z, y, x) of each pass, mirrored back, and whether x was mirrored.

        Nothing keeps them, so that the memory of a single pass is free before the next one.
        """
        for network in self._networks:
            flips = list(self._flips)
            while flips:
                if self._images_at_once == 1:
                    flip = flips.pop(0)
                    yield _flipped(network(_flipped(window, flip)), flip), _X in flip
                    continue
                together = flips[: self._images_at_once]
                try:
                    batch = network(torch.cat([_flipped(window, flip) for flip in together]))
                except torch.OutOfMemoryError:
                    self._images_at_once = (self._images_at_once + 1) // 2
                    _LOG.info("The GPU's memory holds %d mirror images at a time.", self._images_at_once)
                    continue
                for number, flip in enumerate(together):
                    yield _flipped(batch[number : number + 1], flip), _X in flip
                del batch, flips[: len(together)]

    def _decided(self, logits: Tensor, cell: Box) -> Tensor:
        """Return the labels (voxels,) of the cell; of overlapping structures the masks (structures, voxels)."""
        own = logits[0][(slice(None), *cell)]
        if self._overlapping:
            return (own[1:] > own[:1]).flatten(1)
        return argmax_labels(own).flatten().long()

    def _count(self, passes: Sequence[Tensor], mean: Tensor, outputs: int) -> None:
        """Add the voxels of each pass, of the mean, and of both: (passes, 3, structures)."""
        if self._overlapping:
            of_mean = mean.sum(1)
            counts = torch.stack([torch.stack([own.sum(1), of_mean, (own & mean).sum(1)]) for own in passes])
        else:
            pairs = torch.stack([_counts_of(own * outputs + mean, outputs**2) for own in passes])
            pairs = pairs.view(-1, outputs, outputs)
            counts = torch.stack([pairs.sum(2), pairs.sum(1), pairs.diagonal(dim1=1, dim2=2)], dim=1)[..., 1:]
        self._counts = counts if self._counts is None else self._counts + counts


def _flipped(values: Tensor, axes: Sequence[int]) -> Tensor:
    return values.flip(tuple(axes)) if axes else values


def _counts_of(values: Tensor, length: int) -> Tensor:
    """Return how often each number below ``length`` occurs; PyTorch's function makes the CPU wait for a GPU."""
    if values.device.type == "cpu":
        return torch.bincount(values, minlength=length)
    ones = torch.ones_like(values, dtype=torch.double)
    return sums_by_label(ones[None], values[None], length, slots=64)[0].long()
