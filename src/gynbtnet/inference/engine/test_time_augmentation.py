"""Test-time augmentation: average over ensemble members and mirror images, and the agreement of these passes."""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import nan

import torch
from torch import Tensor

from gynbtnet.inference.engine.argmax import argmax_labels
from gynbtnet.runtime.array_types import Box

Network = Callable[[Tensor], Tensor]
_X = 4  # of a window (1, channels, z, y, x)


class AveragedForward:
    """Mean of the logits of all forward passes; as in nnU-Net, logits are averaged and not probabilities.

    This is a :data:`~gynbtnet.inference.engine.sliding_window.WindowNetwork`. It also counts the labels of each pass
    and of the mean. Only voxels closest to the window's centre are counted, so each voxel of the scan counts once.

    Args:
        networks: functions from (1, channels, z, y, x) to (1, outputs, z, y, x) of the same size.
        mirrored: axes of the window, 0 to 2, that are mirrored, in all combinations.
        mirrored_labels: for each output, the output of the same structure after x is mirrored; None if labels have no
            side.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        mirrored: Sequence[int] = (),
        mirrored_labels: Sequence[int] | None = None,
    ) -> None:
        axes = [axis + 2 for axis in mirrored]
        flips = [flip for count in range(len(axes) + 1) for flip in combinations(axes, count)]
        self._passes = [(network, flip) for network in networks for flip in flips]
        self._mirrored_labels = None if mirrored_labels is None else list(mirrored_labels)
        self._counts: Tensor | None = None  # (passes, labels of the pass, labels of the mean)

    def __call__(self, window: Tensor, cell: Box) -> Tensor:
        """Return the mean logits of a window: (1, channels, z, y, x) → (1, outputs, z, y, x), float32."""
        mean: Tensor | None = None
        labels = []
        for network, flip in self._passes:
            logits = network(window.flip(flip)).flip(flip) if flip else network(window)
            if self._mirrored_labels is not None and _X in flip:
                logits = logits[:, self._mirrored_labels]
            if len(self._passes) > 1:
                labels.append(_labels(logits, cell))
            mean = logits.float() if mean is None else mean.add_(logits)
            del logits  # otherwise they would be in memory together with the next pass's
        assert mean is not None
        mean /= len(self._passes)
        if labels:
            self._count(labels, _labels(mean, cell), mean.shape[1])
        return mean

    def agreement(self, structures: Sequence[str]) -> dict[str, float]:
        """Return the mean Dice coefficient of the passes with their mean, by structure.

        It is NaN if there was one pass, or if the mean contains no voxel of the structure.
        """
        if self._counts is None:
            return dict.fromkeys(structures, nan)
        counts = self._counts.double()
        volumes, overlaps = counts.sum(1) + counts.sum(2), counts.diagonal(dim1=1, dim2=2)
        dice = (2 * overlaps / volumes).mean(0)
        empty = counts.sum(1)[0] == 0
        return {name: nan if empty[i] else float(dice[i]) for i, name in enumerate(structures, start=1)}

    def _count(self, labels: Sequence[Tensor], mean: Tensor, outputs: int) -> None:
        pairs = torch.stack([torch.bincount(own * outputs + mean, minlength=outputs**2) for own in labels])
        counts = pairs.view(-1, outputs, outputs).cpu()
        self._counts = counts if self._counts is None else self._counts + counts


def _labels(logits: Tensor, cell: Box) -> Tensor:
    return argmax_labels(logits[0][(slice(None), *cell)]).flatten().long()
