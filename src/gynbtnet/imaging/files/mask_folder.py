"""Masks of structures as a folder with one image file per structure, as TotalSegmentator and others write them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gynbtnet.imaging.files.binary_mask import as_mask, is_other_image
from gynbtnet.imaging.files.volume_files import read_volume, write_volume
from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime.errors import BadInput

MASK_SUFFIX = ".nii.gz"


def write_mask_folder(segmentation: Segmentation, folder: Path) -> None:
    """Write one mask per structure, ``<structure>.nii.gz`` with values 0 and 1, also of empty structures.

    Args:
        segmentation: structures, which may overlap.
        folder: folder to create.

    Raises:
        BadInput: If two structures would have the same file.
    """
    paths = _mask_files(folder, segmentation.structures)
    folder.mkdir(parents=True)
    geometry = segmentation.labels.geometry
    for structure, path in paths.items():
        write_volume(Volume(segmentation.mask(structure).astype(np.uint8), geometry), path)


def read_mask_folder(folder: Path, structures: Sequence[str]) -> Segmentation:
    """Read the masks of structures, which may overlap.

    Args:
        folder: folder with ``<structure>.nii.gz``; voxels that aren't 0 belong to the structure.
        structures: names of the structures; a structure without a file is empty.

    Returns:
        The structures on the grid of the files.

    Raises:
        BadInput: If no structure has a file, a file is damaged or holds no mask, or two files have different grids.
            Also if two structures have the same file.
    """
    paths = _mask_files(folder, structures)
    volumes = {structure: _read_mask(path) for structure, path in paths.items() if path.is_file()}
    if not volumes:
        raise BadInput(f"{folder} has no mask; expected files such as {structures[0]}{MASK_SUFFIX}.")
    return _combined(volumes, paths, structures)


def read_all_masks(folder: Path) -> tuple[Segmentation, tuple[str, ...]]:
    """Read all masks in a folder, which may overlap; other images, such as the scan, are left out.

    Args:
        folder: folder with one file per structure, named after it.

    Returns:
        The structures, sorted by name, and a note if images were left out.

    Raises:
        BadInput: If there is no mask, a file is damaged, or two masks have different grids.
    """
    masks: dict[str, Volume] = {}
    paths: dict[str, Path] = {}
    others: list[str] = []
    for path in sorted(folder.glob(f"[!.]*{MASK_SUFFIX}")):
        image, name = read_volume(path), path.name.removesuffix(MASK_SUFFIX)
        if is_other_image(image.array):
            others.append(path.name)
            continue
        masks[name], paths[name] = Volume(as_mask(image, path), image.geometry), path
    listed = ", ".join(others)
    if not masks:
        raise BadInput(
            f"{folder} has no mask{f', only {listed}' if others else ''}; expected files such as bladder{MASK_SUFFIX} "
            "with 0 and one other value above it."
        )
    notes = (f"Left out {listed}: a mask has 0 and one other value above it.",) if others else ()
    return _combined(masks, paths, tuple(masks)), notes


def _read_mask(path: Path) -> Volume:
    volume = read_volume(path)
    return Volume(as_mask(volume, path), volume.geometry)


def _combined(masks: Mapping[str, Volume], paths: Mapping[str, Path], structures: Sequence[str]) -> Segmentation:
    """Return structures from their masks; a structure without a mask is empty."""
    (first, reference), *others = masks.items()
    for structure, volume in others:
        if not reference.geometry.is_same(volume.geometry):
            raise BadInput(
                f"{paths[structure]} and {paths[first]} have different grids, "
                f"{reference.geometry.difference(volume.geometry)}; expected masks of one scan."
            )
    empty = np.zeros(reference.array.shape, bool)
    arrays = {structure: masks[structure].array if structure in masks else empty for structure in structures}
    return paint_masks(StructureMasks.of(arrays, reference.geometry))


def _mask_files(folder: Path, structures: Sequence[str]) -> dict[str, Path]:
    """Return the path of each mask; BadInput if two are the same."""
    paths = {structure: mask_file(folder, structure) for structure in structures}
    owner: dict[Path, str] = {}
    for structure, path in paths.items():
        if owner.setdefault(path, structure) != structure:
            raise BadInput(
                f"The masks of “{owner[path]}” and “{structure}” would both be {path.name}; rename one of them."
            )
    return paths


def mask_file(folder: Path, structure: str) -> Path:
    """Return the path of a mask; characters that a file name can't have are replaced."""
    safe = re.sub(r"[^\w.+ -]|^[.]", "_", structure)
    return folder / f"{safe}{MASK_SUFFIX}"
