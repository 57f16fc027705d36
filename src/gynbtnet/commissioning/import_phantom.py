"""Phantom for the import into a planning system: a CT and an RTSTRUCT of shapes with known volumes and positions.

A ball of 4 cm, a C with a hole, and two nested balls. The RTSTRUCT is written as that of a prediction, with keyholes.

Planning systems end a structure on its first and last slice, or half a slice beyond them (Eaton and Alty 2017, doi
10.1259/bjr.20170633). The volume of a shape is therefore given for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from math import pi, radians, sin
from pathlib import Path

import numpy as np

from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.imaging.dicom.ct_writer import write_ct_series
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import FloatArray, Mask

SLICE_MM = 3.0
PIXEL_MM = 0.75
CENTRE_MM = (10.0, -20.0, 30.0)
"""Centre of the phantom (x, y, z), halfway between two slices."""
CT_FOLDER, RTSTRUCT = "CT", "RS.dcm"

_SHAPE = (40, 220, 260)
_OUTER_MM, _INNER_MM, _HOLE_MM = 30.0, 15.0, 6.0  # radii of the C, and of the hole in its back
_HALF_HEIGHT_MM = 15.0
_OPENING_DEGREES = 90.0
_INSIDE_HU, _NESTED_HU = 80, 160
_SEED = 1


@dataclass(frozen=True)
class Ball:
    """A ball.

    Attributes:
        offset: centre relative to the phantom's (x, y, z), mm.
        radius: radius in mm.
    """

    offset: tuple[float, float, float]
    radius: float

    def inside(self, x: FloatArray, y: FloatArray, z: FloatArray) -> Mask:
        """Return the points relative to the centre of the phantom that are inside."""
        squares = (x - self.offset[0]) ** 2 + (y - self.offset[1]) ** 2 + (z - self.offset[2]) ** 2
        inside: Mask = squares < self.radius**2
        return inside

    def area_mm2(self, z: float) -> float:
        """Return the area of the cross-section at a height relative to the centre of the phantom."""
        return pi * max(0.0, self.radius**2 - (z - self.offset[2]) ** 2)

    @property
    def centre(self) -> tuple[float, float, float]:
        """Centre of mass (x, y, z) in mm."""
        return _moved(self.offset)


@dataclass(frozen=True)
class OpenRing:
    """A C of constant cross-section, open to the patient's left, with a hole in its back.

    Attributes:
        offset: centre of the ring relative to the phantom's (x, y, z), mm.
    """

    offset: tuple[float, float, float]

    def inside(self, x: FloatArray, y: FloatArray, z: FloatArray) -> Mask:
        """Return the points relative to the centre of the phantom that are inside."""
        u, v, w = x - self.offset[0], y - self.offset[1], z - self.offset[2]
        radius, angle = np.hypot(u, v), np.degrees(np.arctan2(v, u))
        ring = (radius > _INNER_MM) & (radius < _OUTER_MM) & (np.abs(angle) > _OPENING_DEGREES / 2)
        hole = np.hypot(u + _BACK_MM, v) < _HOLE_MM
        inside: Mask = ring & ~hole & (np.abs(w) < _HALF_HEIGHT_MM)
        return inside

    def area_mm2(self, z: float) -> float:
        """Return the area of the cross-section at a height relative to the centre of the phantom."""
        return _RING_MM2 - _HOLE_MM2 if abs(z - self.offset[2]) < _HALF_HEIGHT_MM else 0.0

    @property
    def centre(self) -> tuple[float, float, float]:
        """Centre of mass (x, y, z) in mm."""
        half = radians(180 - _OPENING_DEGREES / 2)
        ring = 2 / 3 * sin(half) / half * (_OUTER_MM**3 - _INNER_MM**3) / (_OUTER_MM**2 - _INNER_MM**2)
        shift = (-ring * _RING_MM2 + _BACK_MM * _HOLE_MM2) / (_RING_MM2 - _HOLE_MM2)
        return _moved((self.offset[0] + shift, self.offset[1], self.offset[2]))


_BACK_MM = (_OUTER_MM + _INNER_MM) / 2
_RING_MM2 = (1 - _OPENING_DEGREES / 360) * pi * (_OUTER_MM**2 - _INNER_MM**2)
_HOLE_MM2 = pi * _HOLE_MM**2

SHAPES: Mapping[str, Ball | OpenRing] = {
    "IMPORT_BALL": Ball((45.0, -30.0, 0.0), 20.0),
    "IMPORT_C": OpenRing((-38.0, 0.0, 0.0)),
    "IMPORT_OUTER": Ball((38.0, 32.0, 6.0), 25.0),
    "IMPORT_INNER": Ball((44.0, 32.0, 6.0), 10.0),
}
"""Shapes by the name of their ROI."""


@dataclass(frozen=True)
class Volumes:
    """Volume of a shape by both conventions for its ends, in cm³.

    Attributes:
        to_last_slice: it ends on its first and last slice.
        half_slice_beyond: it ends half a slice beyond them.
    """

    to_last_slice: float
    half_slice_beyond: float


def volumes(name: str) -> Volumes:
    """Return the volume of a shape from the exact areas of its cross-sections in the slices of the CT."""
    areas = [SHAPES[name].area_mm2(z) for z in _slice_heights()]
    whole = sum(areas) * SLICE_MM
    own = [area for area in areas if area]
    return Volumes((whole - (own[0] + own[-1]) / 2 * SLICE_MM) / 1000, whole / 1000)


def write_import_phantom(folder: Path) -> None:
    """Write ``CT/`` and ``RS.dcm`` into a folder, each atomically and only if it is absent.

    They are kept, since the UIDs of a new RTSTRUCT would differ from those that the planning system has imported. A CT
    always has the same UIDs. Other files in the folder, such as the form, are never touched.
    """
    ct_folder, rtstruct = folder / CT_FOLDER, folder / RTSTRUCT
    if ct_folder.is_dir() and rtstruct.is_file():
        return
    phantom, masks = _draw_phantom()
    if not ct_folder.is_dir():
        write_ct_series(
            phantom,
            ct_folder,
            patient_id="IMPORT-CHECK",
            study_description="SYNTHETIC import check",
            series_description="SYNTHETIC import check",
            seed=_SEED,
        )
    if not rtstruct.is_file():
        write_rtstruct(
            paint_masks(masks),
            read_ct_series(ct_folder),
            rtstruct,
            names=StructureNames.load(),
            label="IMPORT CHECK",
            description="SYNTHETIC import check",
            software_version=version("gynbtnet"),
        )


def _draw_phantom() -> tuple[Volume, StructureMasks]:
    """Return the CT in HU and the masks of the shapes."""
    first = np.asarray(CENTRE_MM) - (np.asarray(_SHAPE[::-1]) - 1) * (PIXEL_MM, PIXEL_MM, SLICE_MM) / 2
    grid = Geometry(_SHAPE, (SLICE_MM, PIXEL_MM, PIXEL_MM), tuple(first))
    z, y, x = (
        (origin - centre + np.arange(n) * step).astype(float)
        for origin, centre, n, step in zip(first[::-1], CENTRE_MM[::-1], _SHAPE, grid.spacing, strict=True)
    )
    points = (x[None, None, :], y[None, :, None], z[:, None, None])
    masks = {name: np.broadcast_to(shape.inside(*points), _SHAPE).copy() for name, shape in SHAPES.items()}
    water = np.broadcast_to((points[0] / 90) ** 2 + (points[1] / 75) ** 2 < 1, _SHAPE)
    hu = np.where(water, 0, -1000).astype(np.int16)
    for name, mask in masks.items():
        hu[mask] = _NESTED_HU if name == "IMPORT_INNER" else _INSIDE_HU
    return Volume(hu, grid), StructureMasks.of(masks, grid)


def _slice_heights() -> list[float]:
    """Return the heights of the slices relative to the centre of the phantom, mm."""
    return [(number - (_SHAPE[0] - 1) / 2) * SLICE_MM for number in range(_SHAPE[0])]


def _moved(offset: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = (centre + step for centre, step in zip(CENTRE_MM, offset, strict=True))
    return x, y, z
