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
        overlapping: whether outputs are the logits of structures that may overlap. A background with logit 0 is then
            put before them, so that differences to output 0 are these logits.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        mirrored: Sequence[int] = (),
        mirrored_labels: Sequence[int] | None = None,
        *,
        overlapping: bool = False,
    ) -> None:
        axes = [axis + 2 for axis in mirrored]
        flips = [flip for count in range(len(axes) + 1) for flip in combinations(axes, count)]
        self._passes = [(network, flip) for network in networks for flip in flips]
        self._mirrored_labels = None if mirrored_labels is None else list(mirrored_labels)
        self._overlapping = overlapping
        self._counts: Tensor | None = None  # (passes, 3, structures), see _count

    def __call__(self, window: Tensor, cell: Box) -> Tensor:
        """Return the mean logits of a window: (1, channels, z, y, x) → (1, outputs, z, y, x), float32."""
        mean: Tensor | None = None
        labels = []
        for network, flip in self._passes:
            logits = network(window.flip(flip)).flip(flip) if flip else network(window)
            if self._overlapping:
                logits = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)
            if self._mirrored_labels is not None and _X in flip:
                logits = logits[:, self._mirrored_labels]
            if len(self._passes) > 1:
                labels.append(self._decided(logits, cell))
            mean = logits.float() if mean is None else mean.add_(logits)
            del logits  # otherwise they would be in memory together with the next pass's
        assert mean is not None
        mean /= len(self._passes)
        if labels:
            self._count(labels, self._decided(mean, cell), mean.shape[1])
        return mean

    def agreement(self, structures: Sequence[str]) -> dict[str, float]:
        """Return the mean Dice coefficient of the passes with their mean, by structure.

        It is NaN if there was one pass, or if the mean contains no voxel of the structure.
        """
        if self._counts is None:
            return dict.fromkeys(structures, nan)
        own, of_mean, overlaps = self._counts.double().unbind(1)
        dice = (2 * overlaps / (own + of_mean)).mean(0)
        return {name: float(dice[i]) if of_mean[0, i] else nan for i, name in enumerate(structures)}

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
            pairs = torch.stack([torch.bincount(own * outputs + mean, minlength=outputs**2) for own in passes])
            pairs = pairs.view(-1, outputs, outputs)
            counts = torch.stack([pairs.sum(2), pairs.sum(1), pairs.diagonal(dim1=1, dim2=2)], dim=1)[..., 1:]
        counts = counts.cpu()
        self._counts = counts if self._counts is None else self._counts + counts
