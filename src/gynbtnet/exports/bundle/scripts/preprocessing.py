"""Transform from a CT in HU to the network's grid and values."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from scipy import ndimage

Array = npt.NDArray[np.float32]
_AIR, _ANISOTROPY, _TIE = -1024, 3, 1e-5


class ToNetworkGridd(MapTransform):  # type: ignore[misc] # MONAI is not read by mypy
    """Clip, resample with cubic splines and normalise an image that LoadImage, EnsureChannelFirst and Orientation read.

    The image (1, x, y, z) runs to the patient's left, back and head. The result ``<key>_grid`` is (1, z, y, x) in the
    values of the network. The image stays, because the labels need its grid.

    Args:
        keys: keys of the images.
        spacing: mm along (z, y, x) of the network's grid.
        lowest: lower limit of HU; None: air.
        highest: upper limit of HU; None: no limit.
        mean: HU that become 0; None: the mean of the scan.
        sd: HU that become 1; None: the standard deviation of the scan.
        separate_thick_slices: take the nearest slice along an axis whose voxels are over 3 times as long.
    """

    def __init__(
        self,
        keys: Sequence[Hashable],
        spacing: Sequence[float],
        lowest: float | None = None,
        highest: float | None = None,
        mean: float | None = None,
        sd: float | None = None,
        separate_thick_slices: bool = True,
    ) -> None:
        super().__init__(keys)
        self.spacing = tuple(spacing)
        self.limits = _AIR if lowest is None else lowest, highest
        self.mean, self.sd = mean, sd
        self.separate_thick_slices = separate_thick_slices

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the image on the network's grid."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = result[key]
            x, y, z = (float(length) for length in affine_to_spacing(image.affine))
            scan = np.ascontiguousarray(np.asarray(image[0], np.float32).transpose(2, 1, 0))
            spacing = (z, y, x)
            shape = [
                max(1, round(old / new * n)) for n, old, new in zip(scan.shape, spacing, self.spacing, strict=True)
            ]
            resampled = resample(np.clip(scan, *self.limits), shape, self._separate_axis(spacing))
            mean = resampled.mean(dtype=np.float64) if self.mean is None else self.mean
            sd = resampled.std(dtype=np.float64) if self.sd is None else self.sd
            result[f"{key}_grid"] = ((resampled - np.float32(mean)) / np.float32(max(sd, 1e-8)))[np.newaxis]
        return result

    def _separate_axis(self, scan_spacing: Sequence[float]) -> int | None:
        """Return the axis of thick slices: of the scan, or if it has none, of the network's grid."""
        for spacing in (scan_spacing, self.spacing) if self.separate_thick_slices else ():
            if max(spacing) / min(spacing) > _ANISOTROPY:
                thick = [axis for axis, length in enumerate(spacing) if length == max(spacing)]
                return thick[0] if len(thick) == 1 else None
        return None


def resample(scan: Array, shape: Sequence[int], separate: int | None) -> Array:
    """Resample a scan to a grid of ``shape`` that covers the same box, with cubic splines without overshoot.

    Args:
        scan: (z, y, x).
        shape: voxels (z, y, x) of the result.
        separate: axis along which the nearest slice is taken, and each slice has its own limits; None: no axis.
    """
    axes = tuple(axis for axis in range(3) if axis != separate)
    lowest, highest = scan.min(axis=axes, keepdims=True), scan.max(axis=axes, keepdims=True)
    result = scan
    for axis in axes:
        if shape[axis] != scan.shape[axis]:
            weights = _spline_weights(scan.shape[axis], shape[axis])
            result = np.moveaxis(np.tensordot(weights, result, (1, axis)), 0, axis)
    result = np.clip(result, lowest, highest)
    if separate is not None and shape[separate] != scan.shape[separate]:
        n, m = scan.shape[separate], shape[separate]
        centres = (np.arange(m) + 0.5) * (n / m) - 0.5
        result = np.take(result, np.clip(np.floor(centres + 0.5 + _TIE), 0, n - 1).astype(np.intp), separate)
    return np.ascontiguousarray(result, np.float32)


def _spline_weights(n: int, m: int) -> Array:
    """Return the matrix (m, n) of cubic spline interpolation from n to m voxels; edge values are repeated."""
    weights: Array = ndimage.affine_transform(
        np.eye(n), [n / m, 1], [(n / m - 1) / 2, 0], (m, n), order=3, mode="nearest"
    ).astype(np.float32)
    return weights
