"""Masks of structures that may overlap, alone or together with a label map."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime.array_types import Box, Mask

MOST_STRUCTURES = 64
"""Largest number of structures: one bit per structure in each voxel."""


Bits = npt.NDArray[np.unsignedinteger[Any]]
"""Unsigned integers; bit i is set if structures[i] covers the voxel."""


def bits_type(structures: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type of integer with a bit for each structure."""
    small_types = (np.uint8, np.uint16, np.uint32)
    return next((dtype for dtype in small_types if structures <= np.iinfo(dtype).bits), np.uint64)


class CombinationCodes:
    """Numbers of combinations of structures, in the order in which they are first found; 0 is the empty one."""

    def __init__(self) -> None:
        self._found = [0]
        self._sorted, self._numbers = np.zeros(1, np.uint64), np.zeros(1, np.int64)

    @property
    def combinations(self) -> tuple[int, ...]:
        """Bits of each number."""
        return tuple(self._found)

    @property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        """Smallest type of integer for the numbers so far."""
        return _code_type(len(self._found))

    def numbers_of(self, bits: npt.ArrayLike) -> Bits:
        """Return the number of each voxel's combination, with the shape of ``bits``."""
        wanted = np.asarray(bits, np.uint64)
        unknown = wanted[self._sorted[self._places(wanted)] != wanted]
        if unknown.size:
            self._found += np.unique(unknown).tolist()
            order = np.argsort(np.array(self._found, np.uint64))
            self._sorted, self._numbers = np.array(self._found, np.uint64)[order], order
        numbers: Bits = self._numbers.astype(self.dtype)[self._places(wanted)]
        return numbers

    def _places(self, bits: Bits) -> npt.NDArray[np.int64]:
        return np.searchsorted(self._sorted, bits).clip(max=len(self._sorted) - 1)


@dataclass(frozen=True, eq=False)
class StructureMasks:
    """Masks of structures on one grid, which may overlap: a map of the combinations that occur.

    A voxel takes one byte for up to 256 combinations, however many structures there are.

    Attributes:
        codes: number of each voxel's combination, unsigned integers (z, y, x).
        combinations: structures of each number: bit i is set if structures[i] is one of them. The first has none.
        structures: names of the structures, at most ``MOST_STRUCTURES``.

    Raises:
        ValueError: If there are too many structures, the first combination is not empty, or a combination has a bit
            without a structure. Also if a voxel has a number without a combination.
    """

    codes: Volume
    combinations: tuple[int, ...]
    structures: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.structures) > MOST_STRUCTURES:
            raise ValueError(f"{len(self.structures)} structures do not fit into {MOST_STRUCTURES} bits")
        if max(self.combinations).bit_length() > len(self.structures):
            raise ValueError(f"a voxel has a bit beyond those of the {len(self.structures)} structures")
        if self.combinations[0]:
            raise ValueError("the first combination has structures")
        if int(self.codes.array.max(initial=0)) >= len(self.combinations):
            raise ValueError(f"a voxel has a number beyond those of the {len(self.combinations)} combinations")

    @classmethod
    def of(cls, masks: Mapping[str, Mask], geometry: Geometry) -> "StructureMasks":
        """Return several masks as one map.

        Args:
            masks: masks (z, y, x) by structure.
            geometry: grid of the masks.

        Raises:
            ValueError: If there are more than ``MOST_STRUCTURES``.
        """
        planes = (_bits_of([mask[z] for mask in masks.values()], geometry.shape[1:]) for z in range(geometry.shape[0]))
        return cls._encoded(planes, geometry, tuple(masks))

    @classmethod
    def from_bits(cls, bits: Volume, structures: Sequence[str]) -> "StructureMasks":
        """Return masks from one volume of bits.

        Args:
            bits: unsigned integers (z, y, x); bit i of a voxel is set if structures[i] covers it.
            structures: names of the structures.

        Raises:
            ValueError: If there are too many structures, or a voxel has a bit that belongs to none.
        """
        return cls._encoded(bits.array, bits.geometry, tuple(structures))

    @classmethod
    def _encoded(cls, planes: Iterable[Bits], geometry: Geometry, structures: tuple[str, ...]) -> "StructureMasks":
        """Return masks from the bits of each slice (y, x)."""
        known = CombinationCodes()
        codes: Bits = np.zeros(geometry.shape, known.dtype)
        for z, plane in enumerate(planes):
            numbers = known.numbers_of(plane)
            codes = codes.astype(known.dtype, copy=False)
            codes[z] = numbers
        return cls(Volume(codes, geometry), known.combinations, structures)

    @property
    def geometry(self) -> Geometry:
        """Grid of the masks."""
        return self.codes.geometry

    @property
    def bits(self) -> Volume:
        """One volume of bits: unsigned integers (z, y, x); bit i of a voxel is set if structures[i] covers it."""
        return self.by_combination(self.combinations, bits_type(len(self.structures)))

    def by_combination(self, values: Sequence[Any], dtype: npt.DTypeLike) -> Volume:
        """Return a volume with the value of each voxel's combination.

        Args:
            values: value of each combination.
            dtype: type of the values.
        """
        return Volume(np.array(values, dtype)[self.codes.array], self.geometry)

    def mask(self, structure: str, box: Box | EllipsisType = ...) -> Mask:
        """Return the voxels of one structure (z, y, x), in a box or on the whole grid."""
        bit = 1 << self.structures.index(structure)
        mask: Mask = np.array([own & bit != 0 for own in self.combinations])[self.codes.array[box]]
        return mask

    def covered(self) -> Mask:
        """Return the voxels of any structure (z, y, x)."""
        covered: Mask = self.by_combination([own != 0 for own in self.combinations], bool).array
        return covered

    def selected(self, structures: Sequence[str]) -> "StructureMasks | None":
        """Return the masks of those structures that are among ``structures``; None if there are none."""
        masks = {name: self.mask(name) for name in self.structures if name in structures}
        return StructureMasks.of(masks, self.geometry) if masks else None

    def with_voxels(
        self, structure: str, voxels: Mask, box: Box | EllipsisType = ..., *, covered: bool
    ) -> "StructureMasks":
        """Return masks in which a structure covers some voxels, or doesn't.

        Args:
            structure: name of the structure.
            voxels: voxels to change (z, y, x), in a box or on the whole grid.
            box: part of the grid that ``voxels`` is.
            covered: True if the structure covers them.
        """
        bit, before = 1 << self.structures.index(structure), self.codes.array[box][voxels]
        combinations = list(self.combinations)
        number_of = {own: number for number, own in reversed(list(enumerate(combinations)))}
        table = np.arange(len(combinations))
        for number in np.unique(before).tolist():
            own = combinations[number] | bit if covered else combinations[number] & ~bit
            if own not in number_of:
                number_of[own] = len(combinations)
                combinations.append(own)
            table[number] = number_of[own]
        codes = self.codes.array.astype(_code_type(len(combinations)))
        codes[box][voxels] = table[before]
        return StructureMasks(Volume(codes, self.geometry), tuple(combinations), self.structures)


def _code_type(combinations: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type of integer for the numbers of so many combinations."""
    return next(dtype for dtype in (np.uint8, np.uint16, np.uint32) if combinations - 1 <= np.iinfo(dtype).max)


def _bits_of(masks: Sequence[Mask], shape: tuple[int, ...]) -> Bits:
    """Return the bits of masks on one slice (y, x)."""
    dtype = bits_type(len(masks))
    bits = np.zeros(shape, dtype)
    for number, mask in enumerate(masks[:MOST_STRUCTURES]):
        bits[mask] |= dtype(1 << number)
    return bits


@dataclass(frozen=True)
class OverlappingSegmentation(Segmentation):
    """A label map together with the full masks of structures that others partly cover.

    Masks, boxes and volumes are those of the drawn structures. ``labels`` gives every voxel to one structure.

    Attributes:
        own: masks of the structures that lose voxels in ``labels``.
    """

    own: StructureMasks

    def mask(self, structure: str, box: Box | EllipsisType = ...) -> Mask:
        """Return the voxels of one structure as it was drawn; see :meth:`Segmentation.mask`."""
        return self.own.mask(structure, box) if structure in self.own.structures else super().mask(structure, box)

    def covered(self) -> Mask:
        """Return the voxels of any structure (z, y, x); see :meth:`Segmentation.covered`."""
        covered: Mask = super().covered() | self.own.covered()
        return covered

    def mapped(self, change: Callable[[Volume], Volume]) -> "OverlappingSegmentation":
        """Return the same structures after a change of both label map and masks; see :meth:`Segmentation.mapped`."""
        return replace(self, labels=change(self.labels), own=replace(self.own, codes=change(self.own.codes)))

    def boxes(self) -> dict[str, Box | None]:
        """Return the smallest box around each structure's mask; see :meth:`Segmentation.boxes`."""
        return super().boxes() | {name: bounding_box(self.own.mask(name)) for name in self.own.structures}

    def volumes_cm3(self) -> dict[str, float]:
        """Return the volume of each structure's mask in cm³; see :meth:`Segmentation.volumes_cm3`."""
        return super().volumes_cm3() | {name: self.volume_cm3(name) for name in self.own.structures}

    def relabelled(self, structures: Sequence[str]) -> Segmentation:
        """Return the segmentation with other labels, with the masks of the kept structures.

        See :meth:`Segmentation.relabelled`.
        """
        own, relabelled = self.own.selected(structures), super().relabelled(structures)
        return OverlappingSegmentation(relabelled.labels, relabelled.structures, own) if own else relabelled
