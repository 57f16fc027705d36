"""From a scene to voxels: HU with partial volume, and the label of every voxel."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import AIR
from gynbtnet.phantom.anatomy.patient import Fraction, Patient
from gynbtnet.phantom.rendering.metal_streaks import add_streaks
from gynbtnet.phantom.rendering.noise import add_noise
from gynbtnet.phantom.rendering.scene import STRUCTURES, Scene
from gynbtnet.phantom.shapes.grid_points import GridPoints
from gynbtnet.phantom.shapes.tissues import ROOM_AIR, share_inside

SLAB_VOXELS = 3_000_000
"""Voxels that are worked out at once: what bounds memory."""


@dataclass(frozen=True)
class Rendered:
    """A scan in HU (int16) and two label maps (uint8): of STRUCTURES, and of ``organs``; all (z, y, x)."""

    scan: npt.NDArray[np.int16]
    structures: npt.NDArray[np.uint8]
    organs: npt.NDArray[np.uint8]
    organ_names: tuple[str, ...]


def render(
    scene: Scene, patient: Patient, fraction: Fraction, geometry: Geometry, *, slab_voxels: int = SLAB_VOXELS
) -> Rendered:
    """Paint the scene slab by slab, add streaks and noise, round to whole HU."""
    names = tuple(dict.fromkeys(layer.organ for layer in scene.layers if layer.organ is not None))
    rendered = Rendered(
        np.empty(geometry.shape, np.int16),
        np.zeros(geometry.shape, np.uint8),
        np.zeros(geometry.shape, np.uint8),
        names,
    )
    points = GridPoints.of(geometry, fraction.setup)
    voxel = float(np.prod(geometry.spacing)) ** (1 / 3)
    depth = max(1, slab_voxels // (geometry.shape[1] * geometry.shape[2]))
    for start in range(0, geometry.shape[0], depth):
        slab = slice(start, start + depth)
        here = points[slab, slice(None), slice(None)]
        hu = np.full(here.shape, ROOM_AIR)
        for layer in scene.layers:
            window = here.window((layer.box[0] - voxel, layer.box[1] + voxel))
            if window is None:
                continue
            near = here[window]
            distance = layer.distance(near)
            share = layer.opacity * share_inside(distance, voxel)
            hu[window] += share * (layer.tissue(distance, near, voxel) - hu[window])
            inside = distance < 0
            if layer.structure is not None:
                rendered.structures[slab][window][inside] = STRUCTURES.index(layer.structure) + 1
            if layer.organ is not None:
                rendered.organs[slab][window][inside] = names.index(layer.organ) + 1
        if scene.applicator is not None:
            add_streaks(hu, here, scene.applicator, patient, fraction)
        add_noise(hu, here, fraction, start)
        rendered.scan[slab] = np.rint(np.clip(hu, AIR, 3071)).astype(np.int16)
    return rendered
