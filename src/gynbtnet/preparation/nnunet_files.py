"""Further files that stock nnU-Net (version 2) needs in a prepared folder.

nnU-Net reads the positions of each case's labels from a pickle only, so one is written per case. GynBTNet never reads
pickles.
"""

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.regions import Regions
from gynbtnet.runtime.atomic_files import atomic_write


def write_for_nnunet(folder: Path, geometries: Sequence[Geometry]) -> None:
    """Write the plan under the name that nnU-Net expects, and a fingerprint, which nnU-Net copies to its results.

    Args:
        folder: prepared folder with ``plans.json``; its name becomes the name of the dataset in nnU-Net.
        geometries: grids of the prepared scans.
    """
    plans = json.loads((folder / "plans.json").read_bytes()) | {"dataset_name": folder.name}
    fingerprint = {
        "spacings": [geometry.spacing for geometry in geometries],
        "shapes_after_crop": [geometry.shape for geometry in geometries],
    }
    for name, content in ((f"{plans['plans_name']}.json", plans), ("dataset_fingerprint.json", fingerprint)):
        with atomic_write(folder / name) as partial:
            partial.write_text(json.dumps(content, indent=1))


def write_nnunet_properties(
    path: Path, geometry: Geometry, foreground: Mapping[int, npt.NDArray[np.int32]], regions: Regions | None = None
) -> None:
    """Write the properties of a case as nnU-Net's preprocessing does.

    The prepared grid is recorded as the scan's own grid. Segmentations that nnU-Net predicts during validation are
    therefore on the prepared grid, at the right position in the patient.

    Args:
        path: file to write, a pickle.
        geometry: prepared grid.
        foreground: voxel indices (n, 3) as (z, y, x) per structure, stored as ``class_locations`` (0, z, y, x).
        regions: labels of each structure if structures overlap; nnU-Net finds the voxels of a region by its labels.
    """
    locations = {
        number if regions is None else regions.labels[number - 1]: np.insert(voxels.astype(np.int64), 0, 0, axis=1)
        for number, voxels in foreground.items()
    }
    properties: dict[str, Any] = {
        "class_locations": locations,
        "spacing": list(geometry.spacing),
        "shape_before_cropping": geometry.shape,
        "bbox_used_for_cropping": [[0, n] for n in geometry.shape],
        "shape_after_cropping_and_before_resampling": geometry.shape,
        "sitk_stuff": {
            "spacing": geometry.spacing[::-1],
            "origin": geometry.origin,
            "direction": geometry.direction,
        },
    }
    with atomic_write(path) as partial:
        partial.write_bytes(pickle.dumps(properties))
