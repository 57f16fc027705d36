"""Dose-volume histogram of a structure, and the dose to its hottest part.

The structure is divided into samples of equal volume, no longer than ``MAX_SAMPLE_MM`` along any axis. Between slices
it has the shapes of :mod:`gynbtnet.imaging.contours.subslices`. The dose is interpolated linearly between the centres
of the dose grid's voxels. Thick slices and coarse dose grids therefore cost little accuracy.

D(V) is the minimum dose to the hottest volume V (ICRU report 89): samples are sorted from hot to cold; sample i (from
1) is assigned the volume (i − ½)·v, with v the volume of a sample; between samples D is linear. For a dose that changes
linearly along one axis of a cuboid, the error is at most the change over half a sample.

Outside the dose grid the dose is unknown. Samples there count as colder than all others: D(V) is then a lower bound,
and it is undefined if V includes such samples. The dose of brachytherapy falls outwards.
The bound is therefore exact if the structure has no higher dose at the faces of the grid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.evaluation.dose.dose_planes import DosePlanes
from gynbtnet.imaging.contours.subslices import Ends, count_subslices, subslices
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.imaging.volume import Volume

MAX_SAMPLE_MM = 0.5
"""Longest side of a sample in mm."""
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
    mask: npt.NDArray[np.bool_],
    geometry: Geometry,
    doses: Sequence[Volume],
    max_sample_mm: float = MAX_SAMPLE_MM,
    ends: Ends = "none",
) -> DoseVolumeHistogram:
    """Compute the dose-volume histogram of a structure.

    Args:
        mask: voxels of the structure, (z, y, x).
        geometry: grid of the mask.
        doses: dose grids in Gy in the same world coordinates, which are summed; a sample outside one of them counts as
            outside.
        max_sample_mm: longest side of a sample in mm.
        ends: convention for the end slices, see :mod:`gynbtnet.imaging.contours.subslices`.

    Returns:
        The doses of all samples.
    """
    per_slice = count_subslices(geometry.spacing[0], max_sample_mm, ends)
    rows, columns = (math.ceil(length / max_sample_mm - _ROUNDING) for length in geometry.spacing[1:])
    sample_cm3 = geometry.voxel_volume / (per_slice * rows * columns) / 1000
    box = bounding_box(mask)
    if box is None:
        return DoseVolumeHistogram(np.zeros(0, np.float32), sample_cm3, 0.0)
    corner = (box[1].start - 1, box[2].start - 1)  # the margin of a voxel
    planes = subslices(np.pad(mask[box], ((0, 0), (1, 1), (1, 1))), geometry.spacing, per_slice, ends)
    dose_planes = DosePlanes(geometry, doses, (rows, columns))
    found = [dose_planes.at(box[0].start + position, shape, corner) for position, shape in planes]
    doses_gy = np.sort(np.concatenate([plane.doses_gy for plane in found]))[::-1]
    outside_cm3 = sum(plane.n_outside for plane in found) * sample_cm3
    return DoseVolumeHistogram(doses_gy, sample_cm3, outside_cm3, max(plane.face_gy for plane in found))
