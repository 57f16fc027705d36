"""Check that a grid can come from a scanner."""

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import by_axis

LONGEST_MM = 3000.0
"""Largest extent along an axis in mm; a scan from head to foot is 2 m long."""

FINEST_MM = 0.01
"""Smallest spacing in mm: a tenth of the resolution of the finest clinical scanner."""

FARTHEST_MM = 1e5
"""Largest coordinate of the origin in mm; table positions are within metres of the frame of reference's origin."""


def check_grid(geometry: Geometry, where: str) -> None:
    """Check that a grid is at most 3 m long, at least 0.01 mm fine, and at most 100 m away.

    Args:
        geometry: the grid.
        where: the scan, with which the message begins.

    Raises:
        BadInput: If a limit is exceeded.
    """
    extent = np.asarray([n * spacing for n, spacing in zip(geometry.shape, geometry.spacing, strict=True)])
    spacing = by_axis(geometry.spacing)
    if extent.max() > LONGEST_MM:
        voxels = f"{by_axis(geometry.shape)} voxels of {spacing} mm along z, y, x"
        raise BadInput(
            f"{where} is {extent.max() / 1000:.4g} m long along one axis ({voxels}); expected at most "
            f"{LONGEST_MM / 1000:g} m: correct the spacing in its header or export it again."
        )
    if min(geometry.spacing) < FINEST_MM:
        raise BadInput(
            f"{where} has voxels of {spacing} mm along z, y, x; expected at least {FINEST_MM} mm: correct the spacing "
            "in its header or export it again."
        )
    if np.abs(geometry.origin).max() > FARTHEST_MM:
        raise BadInput(
            f"{where} begins {np.abs(geometry.origin).max() / 1000:.4g} m away from the origin of its coordinates; "
            f"expected at most {FARTHEST_MM / 1000:g} m: correct the origin in its header or export it again."
        )
