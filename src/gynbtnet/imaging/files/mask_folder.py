"""Masks of structures as a folder with one image file per structure, as TotalSegmentator and others write them."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gynbtnet.imaging.files.volume_files import read_volume, write_volume
from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.errors import BadInput

MASK_SUFFIX = ".nii.gz"


def write_mask_folder(segmentation: Segmentation, folder: Path) -> None:
    """Write one mask per structure, ``<structure>.nii.gz`` with values 0 and 1, also of empty structures.

    Args:
        segmentation: structures, which may overlap.
        folder: folder to create.
    """
    folder.mkdir(parents=True)
    geometry = segmentation.labels.geometry
    for structure in segmentation.structures:
        mask = segmentation.mask(structure).astype(np.uint8)
        write_volume(Volume(mask, geometry), mask_file(folder, structure))


def read_mask_folder(folder: Path, structures: Sequence[str]) -> Segmentation:
    """Read the masks of structures, which may overlap.

    Args:
        folder: folder with ``<structure>.nii.gz``; voxels that aren't 0 belong to the structure.
        structures: names of the structures; a structure without a file is empty.

    Returns:
        The structures on the grid of the files.

    Raises:
        BadInput: If no structure has a file, a file is damaged, or two files have different grids.
    """
    paths = {structure: mask_file(folder, structure) for structure in structures}
    volumes = {
        structure: as_whole_labels(read_volume(path), path) for structure, path in paths.items() if path.is_file()
    }
    if not volumes:
        raise BadInput(f"{folder} has no mask; expected files such as {structures[0]}{MASK_SUFFIX}.")
    (first, reference), *others = volumes.items()
    for structure, volume in others:
        if not reference.geometry.is_same(volume.geometry):
            raise BadInput(
                f"{paths[structure]} and {paths[first]} have different grids, "
                f"{reference.geometry.difference(volume.geometry)}; expected masks of one scan."
            )
    empty = np.zeros(reference.array.shape, bool)
    masks = {structure: volumes[structure].array > 0 if structure in volumes else empty for structure in structures}
    return paint_masks(StructureMasks.of(masks, reference.geometry))


def mask_file(folder: Path, structure: str) -> Path:
    """Return the path of a mask; characters that a file name can't have are replaced."""
    safe = re.sub(r"[^\w.+ -]|^[.]", "_", structure)
    return folder / f"{safe}{MASK_SUFFIX}"
