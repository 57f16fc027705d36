"""Dose-volume histogram of a structure, and the dose to its hottest part.

The structure is divided into samples of equal volume, no longer than ``MAX_SAMPLE_MM`` along any axis. The dose is
interpolated linearly between the centres of the dose grid's voxels. Thick slices and coarse dose grids therefore cost
little accuracy, even if the dose falls steeply. The volume is exactly that of the structure's voxels.

D(V) is the minimum dose to the hottest volume V (ICRU report 89): samples are sorted from hot to cold; sample i (from
1) is assigned the volume (i − ½)·v, with v the volume of a sample; between samples D is linear. For a dose that changes
linearly along one axis of a cuboid, the error is at most the change over half a sample.

Outside the dose grid the dose is unknown. Samples there count as colder than all others: D(V) is then a lower bound,
and it is undefined if V includes such samples. The dose of brachytherapy falls outwards. The
bound is therefore exact if the structure has no higher dose at the faces of the grid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume

MAX_SAMPLE_MM = 0.5
"""Longest side of a sample in mm."""
_SAMPLES_PER_CHUNK = 2**20  # bounds the memory
_ROUNDING = 1e-6  # relative for volumes; in voxels for positions


@dataclass(frozen=True)
class DoseVolumeHistogram:
    """Dose in one structure.

    Attributes:
        doses_gy: dose of every sample inside the dose grid, from hot to cold, (n,), Gy.
        sample_cm3: volume of a sample.
        outside_cm3: volume outside the dose grid.
        face_gy: highest dose in the structure next to the faces of the dose grid, Gy; 0 if the structure reaches none.
    """

    doses_gy: npt.NDArray[np.float32]
    sample_cm3: float
    outside_cm3: float
    face_gy: float = 0.0

    @property
    def inside_cm3(self) -> float:
        """Volume inside the dose grid."""
        return len(self.doses_gy) * self.sample_cm3

    @property
    def volume_cm3(self) -> float:
        """Volume of the whole structure."""
        return self.inside_cm3 + self.outside_cm3

    def dose_at(self, volume_cm3: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return D(V) in Gy, the minimum dose to the hottest volume V.

        Args:
            volume_cm3: one or several volumes V in cm³.

        Returns:
            Doses of the same shape; NaN if V is larger than the volume with a known dose.
        """
        volumes = np.asarray(volume_cm3, float)
        doses = np.full(volumes.shape, np.nan)
        known = volumes <= self.inside_cm3 * (1 + _ROUNDING)
        if len(self.doses_gy):
            doses[known] = [self._interpolate(volume) for volume in volumes[known]]
        return doses

    def _interpolate(self, volume_cm3: float) -> float:
        """Interpolate between the two samples around a volume; a structure may have millions of samples."""
        first = int(np.clip(volume_cm3 / self.sample_cm3 - 2, 0, max(0, len(self.doses_gy) - 4)))
        near = self.doses_gy[first : first + 4]
        return float(np.interp(volume_cm3, (np.arange(first, first + len(near)) + 0.5) * self.sample_cm3, near))

    def volume_at(self, dose_gy: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the volume in cm³ that receives at least a dose in Gy: the cumulative histogram."""
        n_colder = np.searchsorted(self.doses_gy[::-1], np.asarray(dose_gy, float), side="left")
        return np.multiply(len(self.doses_gy) - n_colder, self.sample_cm3, dtype=np.float64)


def dose_volume_histogram(
    mask: npt.NDArray[np.bool_], geometry: Geometry, doses: Sequence[Volume], max_sample_mm: float = MAX_SAMPLE_MM
) -> DoseVolumeHistogram:
    """Compute the dose-volume histogram of a structure.

    Args:
        mask: voxels of the structure, (z, y, x).
        geometry: grid of the mask.
        doses: dose grids in Gy in the same world coordinates, which are summed; a sample outside one of them counts as
            outside.
        max_sample_mm: longest side of a sample in mm.

    Returns:
        The doses of all samples.
    """
    n_parts = tuple(math.ceil(length / max_sample_mm - _ROUNDING) for length in geometry.spacing)
    offsets = (np.indices(n_parts).reshape(3, -1).T + 0.5) / n_parts - 0.5
    voxels = np.argwhere(mask)
    step = max(1, _SAMPLES_PER_CHUNK // len(offsets))
    chunks = [_sample_doses(voxels[i : i + step], offsets, geometry, doses) for i in range(0, len(voxels), step)]
    doses_gy = np.sort(np.concatenate([chunk for chunk, _ in chunks] or [np.zeros(0, np.float32)]))[::-1]
    sample_cm3 = geometry.voxel_volume / len(offsets) / 1000
    outside_cm3 = (len(voxels) * len(offsets) - len(doses_gy)) * sample_cm3
    return DoseVolumeHistogram(doses_gy, sample_cm3, outside_cm3, max((face for _, face in chunks), default=0.0))


def _sample_doses(
    voxels: npt.NDArray[np.intp], offsets: npt.NDArray[np.float64], geometry: Geometry, doses: Sequence[Volume]
) -> tuple[npt.NDArray[np.float32], float]:
    """Return the dose of the samples at ``offsets`` in ``voxels`` (n, 3), and its maximum next to the grids' faces.

    Doses are summed over the grids, and samples outside one of them are left out. Next to a face means between it and
    the centre of the second voxel.
    """
    index = (voxels[:, None] + offsets).reshape(-1, 3)
    total = np.zeros(len(index), np.float32)
    inside, inner = np.ones(len(index), bool), np.ones(len(index), bool)
    for dose in doses:
        start, *ends = dose.geometry.to_index(geometry.to_world(np.vstack([np.zeros(3), np.eye(3)])))
        dose_index = index @ (np.asarray(ends) - start) + start
        last = np.asarray(dose.geometry.shape) - 0.5
        inside &= ((dose_index >= -0.5 - _ROUNDING) & (dose_index <= last + _ROUNDING)).all(axis=1)
        inner &= ((dose_index >= 1) & (dose_index <= last - 1.5)).all(axis=1)
        total += ndimage.map_coordinates(dose.array, dose_index.T, np.float32, order=1, mode="nearest")
    at_face = total[inside & ~inner]
    return total[inside], float(at_face.max(initial=0))
