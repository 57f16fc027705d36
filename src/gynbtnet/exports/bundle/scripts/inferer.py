"""Sliding window with evenly spread windows, Gaussian weights and mirror images."""

from collections.abc import Callable, Sequence
from itertools import combinations, product
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.inferers import Inferer
from torch import Tensor
from torch.nn.functional import pad


class EvenWindowInferer(Inferer):  # type: ignore[misc] # MONAI is not read by mypy
    """Average the logits of overlapping windows that are spread evenly between the ends of the scan.

    Args:
        roi_size: voxels (z, y, x) of a window.
        overlap: minimum overlap of neighbouring windows, as a share of the window.
        mirror_axes: axes (0: z, 1: y, 2: x) that are mirrored, in all combinations.
        mirrored_outputs: for each output, that of the same structure after x is mirrored; None: outputs have no side.
        whole_scan: predict the whole box of the scan, not only the box of the patient.
    """

    def __init__(
        self,
        roi_size: Sequence[int],
        overlap: float = 0.5,
        mirror_axes: Sequence[int] = (),
        mirrored_outputs: Sequence[int] | None = None,
        whole_scan: bool = False,
    ) -> None:
        super().__init__()
        self.roi_size, self.overlap, self.whole_scan = tuple(roi_size), overlap, whole_scan
        axes = [axis + 2 for axis in mirror_axes]
        self.flips = [flip for count in range(len(axes) + 1) for flip in combinations(axes, count)]
        self.mirrored_outputs = None if mirrored_outputs is None else list(mirrored_outputs)

    def __call__(
        self,
        inputs: Tensor,
        network: Callable[..., Tensor],
        *args: Any,
        body: npt.NDArray[np.bool_] | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, tuple[slice, ...]]:
        """Return the logits in the predicted box, and the box.

        Args:
            inputs: image (1, channels, z, y, x) on the device of the network.
            network: network of the window's size.
            *args: further arguments of the network.
            body: mask (z, y, x) of the patient; windows without a voxel of it aren't computed. None: everything.
            **kwargs: further arguments of the network.
        """
        box = self._box(inputs.shape[2:], body)
        image = inputs[(slice(None), slice(None), *box)]
        inside = None if body is None else body[box]
        shape = image.shape[2:]
        before = [max(size - n, 0) // 2 for size, n in zip(self.roi_size, shape, strict=True)]
        after = [max(size - n, 0) - b for size, n, b in zip(self.roi_size, shape, before, strict=True)]
        sides = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
        padded = pad(image, sides, value=float(image.min()))
        starts = [_starts(n, size, self.overlap) for n, size in zip(padded.shape[2:], self.roi_size, strict=True)]
        weights = [_weights(*axis) for axis in zip(padded.shape[2:], self.roi_size, starts, strict=True)]
        sums: Tensor | None = None
        for indices in product(*(range(len(axis)) for axis in starts)):
            corner = [axis[index] for axis, index in zip(starts, indices, strict=True)]
            window = tuple(slice(first, first + size) for first, size in zip(corner, self.roi_size, strict=True))
            seen = tuple(slice(max(w.start - b, 0), w.stop - b) for w, b in zip(window, before, strict=True))
            if inside is not None and not inside[seen].any():
                continue
            logits = self._mean(padded[(slice(None), slice(None), *window)], network, *args, **kwargs)
            if sums is None:
                sums = logits.new_zeros(len(logits), *padded.shape[2:])
            own = (axis[index].to(logits.device) for axis, index in zip(weights, indices, strict=True))
            sums[(slice(None), *window)] += logits * torch.einsum("z,y,x->zyx", *own)
        if sums is None:
            raise ValueError("no window contains the patient")
        sums = sums[(slice(None), *(slice(b, b + n) for b, n in zip(before, shape, strict=True)))]
        return (sums if inside is None else sums * torch.from_numpy(inside).to(sums.device)), box

    def _mean(self, window: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Return the mean logits (outputs, z, y, x) over the mirror images."""
        total: Tensor | None = None
        for flip in self.flips:
            logits = network(window.flip(flip), *args, **kwargs).flip(flip)[0].float()
            if self.mirrored_outputs is not None and 4 in flip:
                logits = logits[self.mirrored_outputs]
            total = logits if total is None else total + logits
        assert total is not None
        return total / len(self.flips)

    def _box(self, shape: Sequence[int], body: npt.NDArray[np.bool_] | None) -> tuple[slice, ...]:
        """Return the box of the patient, extended to the window's size as far as the scan reaches."""
        if body is None or self.whole_scan or not body.any():
            return tuple(slice(0, n) for n in shape)
        box = []
        for axis, (size, n) in enumerate(zip(self.roi_size, shape, strict=True)):
            voxels = np.flatnonzero(body.any(axis=tuple({0, 1, 2} - {axis})))
            low, length = int(voxels[0]), int(voxels[-1]) + 1 - int(voxels[0])
            more = max(0, min(size, n) - length)
            start = min(max(0, low - more // 2), n - length - more)
            box.append(slice(start, start + length + more))
        return tuple(box)


def _starts(size: int, window: int, overlap: float) -> list[int]:
    if size <= window:
        return [0]
    count = ceil((size - window) / max(1, window * (1 - overlap))) + 1
    return [round(index * (size - window) / (count - 1)) for index in range(count)]


def _weights(size: int, window: int, starts: Sequence[int]) -> list[Tensor]:
    """Return the weight of each window at each of its voxels along an axis; at every voxel they add up to 1."""
    offsets = torch.arange(window, dtype=torch.double) - (window - 1) / 2
    gaussian = torch.exp(-0.5 * (offsets / (window / 8)) ** 2)
    total = torch.zeros(size, dtype=torch.double)
    for start in starts:
        total[start : start + window] += gaussian
    return [(gaussian / total[start : start + window]).float() for start in starts]
