"""Digest of a scan's voxels, by which the same scan is recognised under another name, UID or file format."""

import hashlib

import numpy as np

from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.imaging.volume import AIR, Volume

_HIGHEST = np.iinfo(np.int16).max


def voxel_digest(volume: Volume) -> str:
    """Return the SHA-256 of a scan's voxels in the orientation left, posterior, superior.

    It is equal for a scan and its export with other UIDs, another order of slices or other directions of the axes. The
    file format doesn't matter. Values are rounded to whole HU, and those below −1024 count as −1024, as exports store
    them. A scan that was cropped, resampled or changed in one voxel has another digest.

    Args:
        volume: HU (z, y, x) on any grid.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> import numpy as np
        >>> from gynbtnet.imaging.geometry import Geometry
        >>> scan = Volume(np.arange(8).reshape(2, 2, 2), Geometry((2, 2, 2)))
        >>> upside_down = Volume(scan.array[::-1], Geometry((2, 2, 2), direction=(1, 0, 0, 0, 1, 0, 0, 0, -1)))
        >>> voxel_digest(scan) == voxel_digest(upside_down)
        True
    """
    voxels = reorientation_to_lps(volume.geometry).array(volume.array)
    digest = hashlib.sha256(str(voxels.shape).encode())
    for plane in voxels:  # one by one, so that no copy of the scan is needed
        digest.update(np.rint(np.clip(plane, AIR, _HIGHEST)).astype("<i2").tobytes())
    return digest.hexdigest()
