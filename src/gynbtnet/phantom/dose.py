"""Dose of a source that steps through tandem and ovoids: a simple model for tests of dose-volume metrics."""

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.phantom.anatomy.applicator import ApplicatorGeometry
from gynbtnet.phantom.anatomy.pelvic_organs import UterineAxis
from gynbtnet.phantom.shapes.grid_points import GridPoints
from gynbtnet.runtime.array_types import FloatArray

PRESCRIBED = 7.0
"""Gy at point A."""
OVOID_WEIGHT = 0.6
"""Dwell time of a position in an ovoid, relative to one in the tandem."""
REACH = 330.0
"""Length in mm of the Gaussian radial function: 0.91 at 10 cm, about that of Ir-192 in water."""
SOURCE_RADIUS = 1.5
"""Distance in mm below which the dose does not rise any more, because of the steel."""
GRID = 2.0
"""Finest spacing of the dose grid in mm."""


def dose_rate(positions: FloatArray, weights: FloatArray, points: GridPoints) -> FloatArray:
    """Return the sum over isotropic point sources of weight · g(r)/r² (z, y, x), r in mm: TG-43's point-source form.

    Args:
        positions: (n, 3) in mm (x, y, z).
        weights: (n,) relative dwell times.
        points: Points at which the dose rate is computed.
    """
    rate = np.zeros(points.shape)
    for position, weight in zip(positions, weights, strict=True):
        x, y, z = (axis - centre for axis, centre in zip(points.open, position, strict=True))
        squares = x * x + y * y + z * z
        attenuated = np.exp(-((x / REACH) ** 2)) * np.exp(-((y / REACH) ** 2)) * np.exp(-((z / REACH) ** 2))
        rate += weight * attenuated / np.maximum(squares, SOURCE_RADIUS**2)
    return rate


def points_a(axis: UterineAxis) -> FloatArray:
    """Return left and right point A (2, 3) in mm: 2 cm up the tandem from the flange and 2 cm lateral of it."""
    lateral = np.cross(np.cross(axis.canal, (1.0, 0.0, 0.0)), axis.canal)
    lateral /= np.linalg.norm(lateral)
    up = axis.at(20.0)[0]
    return np.stack([up + 20 * lateral, up - 20 * lateral])


def plan_dose(applicator: ApplicatorGeometry, axis: UterineAxis, geometry: Geometry, setup: FloatArray) -> Volume:
    """Return the dose in Gy (float32) in the scan's box; the mean of both points A is PRESCRIBED.

    Args:
        applicator: Applicator with its dwell positions.
        axis: Axis of the uterus.
        geometry: Grid of the scan. The dose grid covers the same box, and its spacing is at least GRID.
        setup: Displacement (x, y, z) of the patient in mm.
    """
    spacing = geometry.spacing
    grid = geometry.with_spacing((max(spacing[0], GRID), max(spacing[1], GRID), max(spacing[2], GRID)))
    positions = np.concatenate([applicator.tandem_dwells, applicator.ovoid_dwells])
    weights = np.repeat([1.0, OVOID_WEIGHT], [len(applicator.tandem_dwells), len(applicator.ovoid_dwells)])
    reference = [
        float(dose_rate(positions, weights, GridPoints(*(np.asarray([c]) for c in point[::-1]))).item())
        for point in points_a(axis)
    ]
    dose = PRESCRIBED / np.mean(reference) * dose_rate(positions, weights, GridPoints.from_geometry(grid, setup))
    return Volume(dose.astype(np.float32), grid)
