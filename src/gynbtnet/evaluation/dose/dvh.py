"""Dose in a structure: its dose-volume histogram, and the dose to its hottest part.

The structure is divided into samples no longer than ``FINEST_MM`` along any axis, all of one volume, and the dose is
interpolated linearly between the centres of the dose grid's voxels, so that thick slices and coarse dose grids cost
little accuracy where dose falls steeply. The volume is exactly that of the structure's voxels.

D(V) is the least dose in the hottest volume V (ICRU report 89): samples are sorted from hot to cold, sample i (from 1)
stands at the volume (i − ½)·v, v being a sample's, and between samples D is linear. In a dose that changes linearly
along one axis of a cuboid this errs by no more than the change over half a sample.

Where the dose grid doesn't reach, no dose is known. Such samples count as colder than all others: D(V) is then a lower
bound, and where V reaches into them, there is none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume

FINEST_MM = 0.5
"""Longest side of a sample in mm."""
_AT_ONCE = 2**20  # samples, which bounds the memory
_ROUNDING = 1e-6  # of a volume in relation to it, and of a voxel


@dataclass(frozen=True)
class DoseVolumeHistogram:
    """Dose in one structure.

    Attributes:
        doses_gy: of every sample that the dose grid reaches, from hot to cold, (n,), Gy.
        sample_cm3: volume of a sample.
        outside_cm3: volume that the dose grid doesn't reach.
    """

    doses_gy: npt.NDArray[np.float32]
    sample_cm3: float
    outside_cm3: float

    @property
    def inside_cm3(self) -> float:
        """Volume of which the dose is known."""
        return len(self.doses_gy) * self.sample_cm3

    @property
    def volume_cm3(self) -> float:
        """Volume of the whole structure."""
        return self.inside_cm3 + self.outside_cm3

    def dose_at(self, volume_cm3: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """D(V) in Gy for one or several volumes V; NaN where V is more than the dose is known of."""
        volumes = np.asarray(volume_cm3, float)
        found = np.full(volumes.shape, np.nan)
        known = volumes <= self.inside_cm3 * (1 + _ROUNDING)
        if len(self.doses_gy):
            places = (np.arange(len(self.doses_gy)) + 0.5) * self.sample_cm3
            found[known] = np.interp(volumes[known], places, self.doses_gy)
        return found

    def volume_at(self, dose_gy: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The volume in cm³ that gets at least a dose in Gy: the cumulative histogram."""
        colder = np.searchsorted(self.doses_gy[::-1], np.asarray(dose_gy, float), side="left")
        return np.multiply(len(self.doses_gy) - colder, self.sample_cm3, dtype=np.float64)


def dose_volume_histogram(
    mask: npt.NDArray[np.bool_], geometry: Geometry, doses: Sequence[Volume], finest_mm: float = FINEST_MM
) -> DoseVolumeHistogram:
    """The dose in a structure.

    Args:
        mask: its voxels, (z, y, x).
        geometry: of the mask.
        doses: grids in Gy in the same world coordinates, added up; a sample that one of them doesn't reach is outside.
        finest_mm: longest side of a sample.
    """
    parts = tuple(math.ceil(length / finest_mm - _ROUNDING) for length in geometry.spacing)
    within = (np.indices(parts).reshape(3, -1).T + 0.5) / parts - 0.5
    voxels = np.argwhere(mask)
    step = max(1, _AT_ONCE // len(within))
    found = [_doses_at(voxels[i : i + step], within, geometry, doses) for i in range(0, len(voxels), step)]
    known = np.sort(np.concatenate(found or [np.zeros(0, np.float32)]))[::-1]
    sample_cm3 = geometry.voxel_volume / len(within) / 1000
    return DoseVolumeHistogram(known, sample_cm3, (len(voxels) * len(within) - len(known)) * sample_cm3)


def _doses_at(
    voxels: npt.NDArray[np.intp], within: npt.NDArray[np.float64], geometry: Geometry, doses: Sequence[Volume]
) -> npt.NDArray[np.float32]:
    """The summed dose of the samples ``within`` each of ``voxels`` (n, 3), of those that every grid reaches."""
    index = (voxels[:, None] + within).reshape(-1, 3)
    total = np.zeros(len(index), np.float32)
    reached = np.ones(len(index), bool)
    for dose in doses:
        start, *ends = dose.geometry.to_index(geometry.to_world(np.vstack([np.zeros(3), np.eye(3)])))
        place = index @ (np.asarray(ends) - start) + start
        last = np.asarray(dose.geometry.shape) - 0.5
        reached &= ((place >= -0.5 - _ROUNDING) & (place <= last + _ROUNDING)).all(axis=1)
        total += ndimage.map_coordinates(dose.array, place.T, np.float32, order=1, mode="nearest")
    return total[reached]
