"""A network over a whole scan, window by window."""

from collections.abc import Callable
from itertools import product
from math import ceil

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from gynbtnet.progress import track

Size = tuple[int, int, int]

_SIGMA = 1 / 8  # of the window's edge, as in nnU-Net and MONAI
_MIRRORINGS = [
    [axis for axis, flips in zip((2, 3, 4), chosen, strict=True) if flips] for chosen in product((0, 1), repeat=3)
]


def slide(
    network: Callable[[Tensor], Tensor],
    image: npt.NDArray[np.float32],
    window: Size,
    *,
    overlap: float = 0.5,
    mirroring: bool = False,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Logits of a whole scan: of each voxel the mean over windows, weighted by nearness to the window's centre.

    Args:
        network: (1, 1, z, y, x) of the window's size to (1, channels, z, y, x).
        image: (1, z, y, x); where it is smaller than the window it is padded with its lowest value, that of air.
        window: voxels (z, y, x).
        overlap: share of a window that the next one covers again, at least; windows are spread evenly.
        mirroring: average each window's logits with those of its seven mirror images.
        device: where the network is; sums are kept on the CPU.

    Returns:
        (channels, z, y, x), float32.
    """
    shape = image.shape[1:]
    before = [max(size - n, 0) // 2 for size, n in zip(window, shape, strict=True)]
    after = [max(size - n, 0) - b for size, n, b in zip(window, shape, before, strict=True)]
    sides = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
    padded = pad(torch.from_numpy(np.ascontiguousarray(image))[None], sides, value=float(image.min()))
    starts = [window_starts(n, size, overlap) for n, size in zip(padded.shape[2:], window, strict=True)]
    weight = gaussian_weight(window)
    total = torch.zeros(padded.shape[2:])
    logits: Tensor | None = None
    for corner in track(list(product(*starts)), "Predicting"):
        z, y, x = (slice(low, low + size) for low, size in zip(corner, window, strict=True))
        seen = _mirrored_mean(network, padded[..., z, y, x].to(device), mirroring).float().cpu()[0]
        if logits is None:
            logits = torch.zeros(len(seen), *padded.shape[2:])
        logits[:, z, y, x] += seen * weight
        total[z, y, x] += weight
    assert logits is not None
    logits /= total
    z, y, x = (slice(b, b + n) for b, n in zip(before, shape, strict=True))
    return logits[:, z, y, x]


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along an axis: both ends covered, evenly spread, neighbours sharing at least ``overlap``."""
    if size <= window:
        return [0]
    count = ceil((size - window) / max(1, window * (1 - overlap))) + 1
    return [round(place * (size - window) / (count - 1)) for place in range(count)]


def gaussian_weight(window: Size) -> Tensor:
    """Weight of each voxel of a window.

    Never zero: at a corner e⁻²⁴, which float32 holds. MONAI raises what is less than 0.001 to that, which near the
    scan's edges lets the worst of a window count for a fifth.
    """
    axes = [torch.exp(-0.5 * ((torch.arange(n) - (n - 1) / 2) / (n * _SIGMA)) ** 2) for n in window]
    return torch.einsum("z,y,x->zyx", *axes)


def _mirrored_mean(network: Callable[[Tensor], Tensor], image: Tensor, mirroring: bool) -> Tensor:
    if not mirroring:
        return network(image)
    return torch.stack([network(image.flip(axes)).flip(axes) for axes in _MIRRORINGS]).mean(0)
