"""Scans whose structures are separate image files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.datasets.ingestion.integrity import LabelMismatch, lost_by_resampling
from gynbtnet.imaging.files.binary_mask import as_mask
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.label_map import Overlap, paint_label_map
from gynbtnet.imaging.resample_to_grid import resample_segmentation
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.phrases import counted


@dataclass(frozen=True)
class MaskContents:
    """Structures that were read from masks.

    Attributes:
        segmentation: label map on the grid of the scan.
        overlaps: pairs of structures that share voxels.
        notes: one sentence if masks were resampled.
    """

    segmentation: Segmentation
    overlaps: tuple[Overlap, ...]
    notes: tuple[str, ...]


def read_mask_files(
    image: Volume, masks: Mapping[str, Sequence[Path]], structures: Sequence[str], *, resample_labels: bool
) -> MaskContents:
    """Read structures, each from one or several masks that compose it.

    Args:
        image: the scan.
        masks: files by structure; a structure without files is absent.
        structures: structures in label order.
        resample_labels: resample a mask that is not on the grid of the scan, by nearest neighbour.

    Raises:
        LabelMismatch: If a mask is on another grid and is not to be resampled.
        BadInput: If a file can't be read or holds no mask.
    """
    painted: dict[str, Mask] = {}
    resampled: dict[str, Volume] = {}
    for structure, paths in masks.items():
        for path in paths:
            mask = _read(path, image, resample_labels)
            if not image.geometry.is_same(mask.geometry):
                resampled[path.name] = mask
                mask = resample_segmentation(mask, image.geometry)
            inside = mask.array > 0
            painted[structure] = painted[structure] | inside if structure in painted else inside
    segmentation, overlaps = paint_label_map(painted, structures, image.geometry)
    notes: tuple[str, ...] = ()
    if resampled:
        folder = next(paths[0].parent for paths in masks.values() if paths)
        notes = (
            f"Resampled {counted(len(resampled), 'mask')} onto the grid of the scan.",
            *lost_by_resampling(resampled.items(), image.geometry, folder),
        )
    return MaskContents(segmentation, overlaps, notes)


def _read(path: Path, image: Volume, resample_labels: bool) -> Volume:
    """Return a mask.

    Raises:
        LabelMismatch: If it is on another grid than the scan and is not to be resampled.
    """
    stored = read_volume(path)
    mask = Volume(as_mask(stored, path).view(np.uint8), stored.geometry)
    if not (resample_labels or image.geometry.is_same(mask.geometry)):
        raise LabelMismatch(
            f"{path} is on another grid than its scan, {image.geometry.difference(mask.geometry)}; export it "
            "again, or resample it with --resample-labels."
        )
    return mask
