"""The spacing that scans of different spacings are brought to.

nnU-Net's rule (Isensee et al. 2021, Nature Methods 18, supplementary note 2), as its version 2 applies it.
"""

from collections.abc import Sequence

import numpy as np

from gynbtnet.preparation.planning.anisotropy import ANISOTROPY
from gynbtnet.runtime.array_types import Spacing, Triple

_BESIDE_THE_PLANE = 1e-5
"""mm that nnU-Net adds where the tenth percentile is finer than the plane, so that which axis is the coarsest stays."""


def target_spacing(spacings: Sequence[Spacing], shapes: Sequence[Triple]) -> Spacing:
    """The median spacing (z, y, x) in mm of scans; where slices are thick, the tenth percentile of their distance.

    Slices are thick where their median distance is over 3 times the coarser in-plane spacing and the median number of
    them under a third of the smaller in-plane size.

    Args:
        spacings: of each scan along (z, y, x), mm.
        shapes: voxels of each scan along (z, y, x).
    """
    target, size = np.percentile(spacings, 50, axis=0), np.percentile(shapes, 50, axis=0)
    thick = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != thick]
    in_plane = target[others].max()
    if target[thick] > ANISOTROPY * in_plane and size[thick] * ANISOTROPY < size[others].min():
        tenth = float(np.percentile([spacing[thick] for spacing in spacings], 10))
        target[thick] = tenth if tenth >= in_plane else in_plane + _BESIDE_THE_PLANE
    z, y, x = target
    return float(z), float(y), float(x)


def shape_at(spacing: Spacing, scan_shape: Triple, scan_spacing: Spacing) -> Triple:
    """Voxels (z, y, x) of a scan at another spacing, rounded as nnU-Net rounds them, to the bit; at least 1."""
    z, y, x = (max(1, round(have / want * n)) for n, have, want in zip(scan_shape, scan_spacing, spacing, strict=True))
    return z, y, x
