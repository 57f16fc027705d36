"""Labels on the grid of the scan from logits on the network's grid."""

from collections.abc import Sequence

import nibabel
import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation
from torch import Tensor

_SLICES = 8  # of the scan that are interpolated at once
_SAME = 1e-4  # voxels
_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))


class LogitsToLabels:
    """Interpolate logits linearly, decide each voxel, and return to the orientation of the file.

    Structures that exclude each other become one label map, with label i + 1 for structure i. Structures that may
    overlap become one mask each.

    Args:
        overlapping: whether structures may overlap, each with a separate output.
        nesting: pairs of numbers of an inner and its outer structure, the innermost first; only with ``overlapping``.
    """

    def __init__(self, overlapping: bool = False, nesting: Sequence[Sequence[int]] = ()) -> None:
        self.overlapping, self.nesting = overlapping, [tuple(pair) for pair in nesting]

    def __call__(
        self, logits: Tensor, box: Sequence[slice], grid_shape: Sequence[int], image: MetaTensor
    ) -> MetaTensor:
        """Return labels or masks (channels, x, y, z) on the grid of the file.

        Args:
            logits: (outputs, z, y, x) inside the box.
            box: box of the network's grid.
            grid_shape: voxels (z, y, x) of the network's grid.
            image: reoriented scan (1, x, y, z), with the affine of its file.
        """
        shape = tuple(reversed(image.shape[1:]))
        result = np.zeros((logits.shape[0] if self.overlapping else 1, *shape), np.uint8)
        sampling = [_sampling(n, m, side) for n, m, side in zip(shape, grid_shape, box, strict=True)]
        (rows, *_), (columns, *_) = sampling[1:]
        for first in range(0, len(sampling[0][0]), _SLICES):
            part = slice(first, first + _SLICES)
            fine = logits.cpu()
            for axis, (_, lower, upper, share) in enumerate(sampling, start=1):
                chosen = part if axis == 1 else slice(None)
                weight = share[chosen].view(-1, *[1] * (3 - axis))
                below, above = (fine.index_select(axis, neighbour[chosen]) for neighbour in (lower, upper))
                fine = torch.lerp(below, above, weight)
            slices = sampling[0][0][part]
            result[:, slices[0] : slices[-1] + 1, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = self._decide(
                fine
            )
        oriented = MetaTensor(torch.from_numpy(result.transpose(0, 3, 2, 1).copy()), meta=dict(image.meta))
        axes = "".join(nibabel.aff2axcodes(np.asarray(image.meta["original_affine"])))  # type: ignore[no-untyped-call]
        labels: MetaTensor = Orientation(axcodes=axes, labels=_LABELS)(oriented)
        return labels

    def _decide(self, logits: Tensor) -> npt.NDArray[np.uint8]:
        if not self.overlapping:
            labels: npt.NDArray[np.uint8] = logits.argmax(0, keepdim=True).numpy().astype(np.uint8)
            return labels
        values = list(logits.unbind())
        for inner, outer in self.nesting:
            values[outer] = values[outer] + values[inner].clamp(min=0)
        chosen = [value > 0 for value in values]
        for inner, outer in reversed(self.nesting):
            chosen[inner] = chosen[inner] & chosen[outer]
        masks: npt.NDArray[np.uint8] = torch.stack(chosen).numpy().astype(np.uint8)
        return masks


def _sampling(n: int, m: int, side: slice) -> tuple[npt.NDArray[np.intp], Tensor, Tensor, Tensor]:
    """Return the voxels of a scan's axis inside the box, their neighbours in the box, and the share of the upper one.

    Args:
        n: voxels of the scan along the axis.
        m: voxels of the network's grid, which covers the same length.
        side: voxels of the box in that grid.
    """
    length = side.stop - side.start
    index = (np.arange(n) + 0.5) * (m / n) - 0.5 - side.start
    inside = np.flatnonzero((index > -0.5 - _SAME) & (index < length - 0.5 + _SAME))
    index = np.clip(index[inside], 0, length - 1)
    index = np.where(np.abs(index - index.round()) < _SAME, index.round(), index)
    lower = np.floor(index)
    share = torch.from_numpy((index - lower).astype(np.float32))
    neighbours = (torch.from_numpy(rounded.astype(np.int64)) for rounded in (lower, np.ceil(index)))
    return inside, *neighbours, share  # type: ignore[return-value]
