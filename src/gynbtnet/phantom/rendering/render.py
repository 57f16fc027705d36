"""Rendering of a scene to voxels: HU with partial volume, masks of structures, and labels of organs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import AIR
from gynbtnet.phantom.anatomy.patient import Fraction, Patient
from gynbtnet.phantom.rendering.metal_streaks import add_streaks
from gynbtnet.phantom.rendering.noise import add_noise
from gynbtnet.phantom.rendering.scene import Scene
from gynbtnet.phantom.shapes.grid_points import GridPoints
from gynbtnet.phantom.shapes.tissues import ROOM_AIR, share_inside

SLAB_VOXELS = 3_000_000
"""Voxels that are computed at once; this limits the memory."""


@dataclass(frozen=True)
class Rendered:
    """A scan in HU (int16), bits of the structures' masks and a label map of ``organ_names`` (uint8); all (z, y, x).

    Bit i of ``structures`` is set in the voxels of the scene's structure i.
    """

    scan: npt.NDArray[np.int16]
    structures: npt.NDArray[np.uint8]
    organs: npt.NDArray[np.uint8]
    organ_names: tuple[str, ...]


def render(
    scene: Scene, patient: Patient, fraction: Fraction, geometry: Geometry, *, slab_voxels: int = SLAB_VOXELS
) -> Rendered:
    """Render the scene slab by slab, add streaks and noise, and round to whole HU."""
    names = tuple(dict.fromkeys(layer.organ for layer in scene.layers if layer.organ is not None))
    rendered = Rendered(
        np.empty(geometry.shape, np.int16),
        np.zeros(geometry.shape, np.uint8),
        np.zeros(geometry.shape, np.uint8),
        names,
    )
    points = GridPoints.from_geometry(geometry, fraction.setup)
    voxel = float(np.prod(geometry.spacing)) ** (1 / 3)
    depth = max(1, slab_voxels // (geometry.shape[1] * geometry.shape[2]))
    for start in range(0, geometry.shape[0], depth):
        slab = slice(start, start + depth)
        slab_points = points[slab, slice(None), slice(None)]
        hu = np.full(slab_points.shape, ROOM_AIR)
        for layer in scene.layers:
            window = slab_points.window((layer.box[0] - voxel, layer.box[1] + voxel))
            if window is None:
                continue
            window_points = slab_points[window]
            distance = layer.distance(window_points)
            share = layer.opacity * share_inside(distance, voxel)
            hu[window] += share * (layer.tissue(distance, window_points, voxel) - hu[window])
            inside = distance < 0
            if layer.structure is not None:
                bits = rendered.structures[slab][window]
                kept = bits[inside] if layer.overlaps else 0
                bits[inside] = kept | 1 << scene.structures.index(layer.structure)
            if layer.clears:
                rendered.organs[slab][window][inside] = 0
            if layer.organ is not None:
                rendered.organs[slab][window][inside] = names.index(layer.organ) + 1
        if scene.applicator is not None:
            hu = add_streaks(hu, slab_points, scene.applicator, patient, fraction)
        hu = add_noise(hu, slab_points, fraction, start, geometry.spacing[0])
        rendered.scan[slab] = np.rint(np.clip(hu, AIR, 3071)).astype(np.int16)
    return rendered
