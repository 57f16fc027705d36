"""A network over a whole scan, window by window, with no more of the scan in memory than a window is high.

Windows walk along z. Of each voxel the logits of all windows that see it are averaged, weighted by nearness to the
window's centre; once the windows have passed a slice, it is finished and handed on. Sums are kept in half precision;
:func:`relative_error` bounds what that costs.
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
"""Logits (1, outputs, z, y, x) of an image (1, channels, z, y, x) of the window's size. The box are the voxels whose
nearest window this is: every voxel of the scan lies in the box of one window."""

_SIGMA = 1 / 8  # of the window's edge, as in nnU-Net and MONAI
_LOWEST = -6e4  # a sum below float16's range would be infinite, and nothing could be interpolated beside it
_HALF_ROUNDING = 2.0**-11


@dataclass(frozen=True)
class Slab:
    """Slices of a scan that are finished.

    Attributes:
        first: which slice of the scan it begins with.
        logits: (outputs, slices, y, x), float16: of each voxel logits less a number that is the same for all outputs,
            so that none is above 0; all 0 where no window was run. The next slab overwrites them. A slab begins with
            the slice that the one before ended with, so that values between the two can be interpolated.
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
) -> Iterator[Slab]:
    """Logits of a whole scan, finished slice by finished slice, z upwards.

    Args:
        network: what is run on each window.
        image: (channels, z, y, x); where it is smaller than the window it is padded with its lowest value, that of air.
        window: voxels (z, y, x).
        overlap: share of a window that the next one covers again, at least; windows are spread evenly.
        device: where the network is, and the sums of as many slices as a window has.
        body: (z, y, x); windows without a voxel of it aren't run, and all outputs are 0 outside it. None: everything.

    Raises:
        BadInput: If a logit is no finite number.
    """
    shape = image.shape[1:]
    before = [max(size - n, 0) // 2 for size, n in zip(window, shape, strict=True)]
    after = [max(size - n, 0) - b for size, n, b in zip(window, shape, before, strict=True)]
    inside = tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))
    padded = torch.from_numpy(np.ascontiguousarray(image))[None]
    if padded.shape[2:] != tuple(max(sizes) for sizes in zip(window, shape, strict=True)):
        sides = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
        padded = pad(padded, sides, value=float(image.min()))
    whole = padded.shape[2:]
    starts = [window_starts(n, size, overlap) for n, size in zip(whole, window, strict=True)]
    shares = [importance_weights(*axis).to(device) for axis in zip(whole, window, starts, strict=True)]
    cells = [nearest_window_ranges(*axis) for axis in zip(whole, window, starts, strict=True)]
    levels = _windows_to_run(starts, window, body, before)
    sums: Tensor | None = None
    held = 0  # the slice of the scan that the sums begin with
    with progress_bar("Predicting", sum(map(len, levels))) as advance:
        for rank, (level, end) in enumerate(zip(levels, [*starts[0][1:], whole[0]], strict=True)):
            for places in level:
                z, y, x = (
                    slice(axis[place], axis[place] + size)
                    for axis, place, size in zip(starts, places, window, strict=True)
                )
                cell = tuple(axis[place] for axis, place in zip(cells, places, strict=True))
                seen = network(padded[..., z, y, x].to(device), cell)[0]
                if sums is None:
                    sums = torch.zeros(len(seen), min(window[0] + 1, whole[0]), *whole[1:], dtype=torch.half).to(device)
                weight = torch.einsum("z,y,x->zyx", *(axis[place] for axis, place in zip(shares, places, strict=True)))
                _add(seen, weight, sums[:, z.start - held : z.stop - held, y, x])
                del seen  # else it would lie beside the next window's
                advance()
            if sums is not None:
                finished = sums[:, : end - held, inside[1], inside[2]]
                if len(levels) == 1:
                    finished = finished[:, inside[0]]
                if body is not None:
                    outside = torch.from_numpy(~body[held : held + finished.shape[1]]).to(device)
                    for output in finished:
                        output[outside] = 0
                yield Slab(held, finished)
                if rank < len(levels) - 1:
                    _move_up(sums, end - 1 - held)
            held = end - 1


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along an axis: both ends covered, evenly spread, neighbours sharing at least ``overlap``."""
    if size <= window:
        return [0]
    count = ceil((size - window) / max(1, window * (1 - overlap))) + 1
    return [round(place * (size - window) / (count - 1)) for place in range(count)]


def importance_weights(size: int, window: int, starts: Sequence[int]) -> Tensor:
    """What each window counts at each of its voxels along an axis, (windows, window).

    A Gaussian around the window's centre, divided by the sum of those of all windows that see the voxel: shares at a
    voxel add up to 1 on every axis, and so do their products over all windows of a scan.
    """
    gaussian = torch.exp(-0.5 * ((torch.arange(window) - (window - 1) / 2) / (window * _SIGMA)).double() ** 2)
    total = torch.zeros(size, dtype=torch.double)
    for start in starts:
        total[start : start + window] += gaussian
    return torch.stack([gaussian / total[start : start + window] for start in starts]).float()


def nearest_window_ranges(size: int, window: int, starts: Sequence[int]) -> list[slice]:
    """Of each window along an axis the voxels, counted from its start, of which no other window's centre is nearer."""
    middles = [(one + other + window) // 2 for one, other in pairwise(starts)]
    edges = [0, *middles, size]
    return [slice(low - start, high - start) for start, (low, high) in zip(starts, pairwise(edges), strict=True)]


def relative_error(starts: Sequence[Sequence[int]], window: Triple) -> float:
    """By how much of itself a logit of :class:`Slab` may be off, float32's own rounding aside.

    Every summand is at most 0, so that no partial sum is larger than the whole one; each of a voxel's n windows rounds
    the sum once, by at most 2⁻¹¹ of it: after n additions (1 + 2⁻¹¹)ⁿ − 1. What is smaller than 6·10⁻⁵, where float16
    has fewer digits, may be off by n · 2⁻²⁵ besides.

    Args:
        starts: of the windows along (z, y, x).
        window: voxels (z, y, x).
    """
    most = 1
    for axis, size in zip(starts, window, strict=True):
        most *= max(sum(start <= voxel < start + size for start in axis) for voxel in axis)
    return float((1 + _HALF_ROUNDING) ** most - 1)


def _windows_to_run(
    starts: Sequence[Sequence[int]], window: Triple, body: npt.NDArray[np.bool_] | None, before: Sequence[int]
) -> list[list[tuple[int, int, int]]]:
    """Of each level along z the windows, as places in ``starts``, that see something of the body."""

    def sees(places: Sequence[int]) -> bool:
        corner = [axis[place] - b for axis, place, b in zip(starts, places, before, strict=True)]
        seen = tuple(slice(max(low, 0), low + size) for low, size in zip(corner, window, strict=True))
        return body is None or bool(body[seen].any())

    beside = list(product(range(len(starts[1])), range(len(starts[2]))))
    return [[(z, y, x) for y, x in beside if sees((z, y, x))] for z in range(len(starts[0]))]


def _add(seen: Tensor, weight: Tensor, sums: Tensor) -> None:
    """Add a window's logits, less the highest of each voxel, output by output so that nothing large stands between."""
    highest = seen.amax(0)
    if not bool(highest.isfinite().all()):  # one that is NaN makes the highest NaN
        raise BadInput(
            "The model's outputs are not numbers at some voxels of this scan; its weights are damaged or from a "
            "training that diverged: take weights of another run."
        )
    for output, total in zip(seen, sums, strict=True):
        total += (output - highest).clamp_(min=_LOWEST).mul_(weight)


def _move_up(sums: Tensor, slices: int) -> None:
    """Drop the first slices, and make room for as many."""
    kept = sums.shape[1] - slices
    for output in sums:
        output[:kept] = output[slices:].clone()
        output[kept:] = 0
