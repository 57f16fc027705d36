"""Sliding-window inference on CT volumes, with logits of only one window's height in memory.

Windows move along z. The logits of all windows that contain a voxel are averaged, with Gaussian weights around each
window's centre. A slice is finished and returned after the last window that contains it. Sums are stored in half
precision; :func:`relative_error` bounds the resulting error.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import ceil

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from gynbtnet.runtime.array_types import Box, Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.progress import progress_bar

WindowNetwork = Callable[[Tensor, Box], Tensor]
"""Function from an image (1, channels, z, y, x) of the window's size to logits (1, outputs, z, y, x).

The box contains the voxels that are closest to this window's centre. Every voxel of the scan is in the box of exactly
one window.
"""

_SIGMA = 1 / 8  # of the window's edge, as in nnU-Net and MONAI
_LOWEST = -6e4  # a sum below float16's range would be infinite, and its neighbours could not be interpolated
_HALF_ROUNDING = 2.0**-11


@dataclass(frozen=True)
class Slab:
    """Finished slices of a scan.

    Attributes:
        first: index of the first slice.
        logits: (outputs, slices, y, x), float16. At each voxel the same number is subtracted from all outputs, so that
            none is above 0; all are 0 at voxels without a window. The next slab overwrites them. A slab begins with the
            last slice of the previous one, so that values between the two can be interpolated.
    """

    first: int
    logits: Tensor


def sliding_window_logits(
    network: WindowNetwork,
    image: npt.NDArray[np.float32],
    window: Triple,
    *,
    overlap: float = 0.5,
    device: torch.device | str = "cpu",
    body: npt.NDArray[np.bool_] | None = None,
    padding: float | None = None,
    centre: Triple | None = None,
) -> Iterator[Slab]:
    """Yield the logits of a scan as slabs of finished slices, in ascending z.

    Args:
        network: network that is run on each window.
        image: (channels, z, y, x), float32. An image smaller than the window is padded.
        window: voxels (z, y, x).
        overlap: minimum overlap of neighbouring windows, as a share of the window; windows are spread evenly.
        device: device of the network, and of the sums of as many slices as a window has.
        body: mask (z, y, x). Windows without a voxel of it aren't run, and all outputs are 0 outside it. None: the
            whole scan.
        padding: value around an image that is smaller than the window. None: its lowest value.
        centre: voxel (z, y, x) of the window with the largest weight. None: the exact centre, which may be between
            voxels.

    Raises:
        BadInput: If a logit is not finite.
    """
    shape = image.shape[1:]
    before = [max(size - n, 0) // 2 for size, n in zip(window, shape, strict=True)]
    after = [max(size - n, 0) - b for size, n, b in zip(window, shape, before, strict=True)]
    inside = tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))
    padded = torch.from_numpy(np.ascontiguousarray(image))[None]
    if padded.shape[2:] != tuple(max(sizes) for sizes in zip(window, shape, strict=True)):
        sides = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
        padded = pad(padded, sides, value=float(image.min()) if padding is None else padding)
    full = padded.shape[2:]
    starts = [window_starts(n, size, overlap) for n, size in zip(full, window, strict=True)]
    centres = centre or (None, None, None)
    weights = [importance_weights(*axis).to(device) for axis in zip(full, window, starts, centres, strict=True)]
    nearest = [nearest_window_ranges(*axis) for axis in zip(full, window, starts, strict=True)]
    levels = _windows_to_run(starts, window, body, before)
    sums: Tensor | None = None
    first = 0  # slice of the scan at which the sums begin
    with progress_bar("Predicting", sum(map(len, levels))) as advance:
        for number, (level, end) in enumerate(zip(levels, [*starts[0][1:], full[0]], strict=True)):
            for indices in level:
                z, y, x = (
                    slice(axis[index], axis[index] + size)
                    for axis, index, size in zip(starts, indices, window, strict=True)
                )
                cell = tuple(axis[index] for axis, index in zip(nearest, indices, strict=True))
                logits = network(padded[..., z, y, x].to(device), cell)[0]
                if sums is None:
                    sums = torch.zeros(len(logits), min(window[0] + 1, full[0]), *full[1:], dtype=torch.half).to(device)
                weight = torch.einsum("z,y,x->zyx", *(axis[i] for axis, i in zip(weights, indices, strict=True)))
                _add(logits, weight, sums[:, z.start - first : z.stop - first, y, x])
                del logits  # otherwise they would be in memory together with the next window's
                advance()
            if sums is not None:
                finished = sums[:, : end - first, inside[1], inside[2]]
                if len(levels) == 1:
                    finished = finished[:, inside[0]]
                if body is not None:
                    outside = torch.from_numpy(~body[first : first + finished.shape[1]]).to(device)
                    for output in finished:
                        output[outside] = 0
                yield Slab(first, finished)
                if number < len(levels) - 1:
                    _drop_first(sums, end - 1 - first)
            first = end - 1


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """Return the first voxel of each window along an axis.

    Windows are spread evenly and cover both ends; neighbours overlap by at least the share ``overlap``.
    """
    if size <= window:
        return [0]
    count = ceil((size - window) / max(1, window * (1 - overlap))) + 1
    return [round(index * (size - window) / (count - 1)) for index in range(count)]


def importance_weights(size: int, window: int, starts: Sequence[int], centre: int | None = None) -> Tensor:
    """Return the weight of each window at each of its voxels along an axis, (windows, window).

    Weights are a Gaussian around the window's centre, or around its voxel ``centre``, divided by the sum over all
    windows that contain the voxel. The weights of a voxel add up to 1 along every axis. Therefore their products over
    all windows also add up to 1.
    """
    middle = (window - 1) / 2 if centre is None else centre
    gaussian = torch.exp(-0.5 * ((torch.arange(window) - middle) / (window * _SIGMA)).double() ** 2)
    total = torch.zeros(size, dtype=torch.double)
    for start in starts:
        total[start : start + window] += gaussian
    return torch.stack([gaussian / total[start : start + window] for start in starts]).float()


def nearest_window_ranges(size: int, window: int, starts: Sequence[int]) -> list[slice]:
    """Return, for each window, the voxels relative to its start that are closest to its centre, along one axis."""
    middles = [(start + following + window) // 2 for start, following in pairwise(starts)]
    edges = [0, *middles, size]
    return [slice(low - start, high - start) for start, (low, high) in zip(starts, pairwise(edges), strict=True)]


def relative_error(starts: Sequence[Sequence[int]], window: Triple) -> float:
    """Return the largest relative error of a logit of :class:`Slab`, without float32's own rounding.

    Every summand is at most 0, so no partial sum is larger than the final one. Each of a voxel's n windows rounds the
    sum once, by at most 2⁻¹¹ of it: (1 + 2⁻¹¹)ⁿ − 1 after n additions. Below 6·10⁻⁵ float16 has fewer digits, which
    adds an absolute error of at most n · 2⁻²⁵.

    Args:
        starts: first voxels of the windows along (z, y, x).
        window: voxels (z, y, x).
    """
    most = 1
    for axis, size in zip(starts, window, strict=True):
        most *= max(sum(start <= voxel < start + size for start in axis) for voxel in axis)
    return float((1 + _HALF_ROUNDING) ** most - 1)


def _windows_to_run(
    starts: Sequence[Sequence[int]], window: Triple, body: npt.NDArray[np.bool_] | None, before: Sequence[int]
) -> list[list[tuple[int, int, int]]]:
    """Return the windows that contain a voxel of the body, as indices into ``starts``, for each level along z."""

    def contains_body(indices: Sequence[int]) -> bool:
        corner = [axis[index] - b for axis, index, b in zip(starts, indices, before, strict=True)]
        box = tuple(slice(max(low, 0), low + size) for low, size in zip(corner, window, strict=True))
        return body is None or bool(body[box].any())

    columns = list(product(range(len(starts[1])), range(len(starts[2]))))
    return [[(z, y, x) for y, x in columns if contains_body((z, y, x))] for z in range(len(starts[0]))]


def _add(logits: Tensor, weight: Tensor, sums: Tensor) -> None:
    """Add a window's logits minus the highest of each voxel to the sums, output by output to save memory."""
    highest = logits.amax(0)
    if not bool(highest.isfinite().all()):  # a single NaN makes the highest NaN
        raise BadInput(
            "The model's outputs are not numbers at some voxels of this scan. Its weights are damaged or its training "
            "diverged; use the weights of another run."
        )
    for output, total in zip(logits, sums, strict=True):
        total += (output - highest).clamp_(min=_LOWEST).mul_(weight)


def _drop_first(sums: Tensor, slices: int) -> None:
    """Drop the first slices in place, and append as many zero slices."""
    kept = sums.shape[1] - slices
    for output in sums:
        output[:kept] = output[slices:].clone()
        output[kept:] = 0
