"""Target spacing for scans of different spacings.

nnU-Net's rule (Isensee et al. 2021, Nature Methods 18, supplementary note 2), as its version 2 applies it.
"""

from collections.abc import Sequence

import numpy as np

from gynbtnet.preparation.planning.anisotropy import ANISOTROPY
from gynbtnet.runtime.array_types import Spacing, Triple

_ABOVE_IN_PLANE = 1e-5
"""mm that nnU-Net adds if the tenth percentile is finer than the in-plane spacing, so the coarsest axis stays."""


def target_spacing(spacings: Sequence[Spacing], shapes: Sequence[Triple]) -> Spacing:
    """Return the median spacing of scans; for thick slices, the tenth percentile of their distance.

    Slices are thick if two conditions hold. Their median distance is over 3 times the coarser in-plane spacing, and
    their median number is less than a third of the smaller in-plane size.

    Args:
        spacings: spacing of each scan along (z, y, x), mm.
        shapes: voxels of each scan along (z, y, x).

    Returns:
        Spacing (z, y, x) in mm.
    """
    target, size = np.percentile(spacings, 50, axis=0), np.percentile(shapes, 50, axis=0)
    thick = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != thick]
    in_plane = target[others].max()
    if target[thick] > ANISOTROPY * in_plane and size[thick] * ANISOTROPY < size[others].min():
        tenth = float(np.percentile([spacing[thick] for spacing in spacings], 10))
        target[thick] = tenth if tenth >= in_plane else in_plane + _ABOVE_IN_PLANE
    z, y, x = target
    return float(z), float(y), float(x)


def shape_at(spacing: Spacing, scan_shape: Triple, scan_spacing: Spacing) -> Triple:
    """Return the voxels (z, y, x) of a scan at another spacing, rounded exactly as nnU-Net does; at least 1."""
    z, y, x = (max(1, round(old / new * n)) for n, old, new in zip(scan_shape, scan_spacing, spacing, strict=True))
    return z, y, x
