"""Scans whose structures are separate image files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.datasets.ingestion.integrity import LabelMismatch
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.label_map import Overlap, paint_label_map
from gynbtnet.imaging.resample_to_grid import resample_segmentation
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.whole_labels import as_whole_labels
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
        BadInput: If a mask can't be read.
    """
    volumes = {structure: [_read(path, image, resample_labels) for path in paths] for structure, paths in masks.items()}
    resampled = sum(was_resampled for parts in volumes.values() for _, was_resampled in parts)
    painted = {
        structure: np.logical_or.reduce([volume.array > 0 for volume, _ in parts])
        for structure, parts in volumes.items()
        if parts
    }
    segmentation, overlaps = paint_label_map(painted, structures, image.geometry)
    notes = (f"Resampled {counted(resampled, 'mask')} onto the grid of the scan.",) if resampled else ()
    return MaskContents(segmentation, overlaps, notes)


def _read(path: Path, image: Volume, resample_labels: bool) -> tuple[Volume, bool]:
    """Return a mask on the grid of the scan, and whether it was resampled."""
    mask = as_whole_labels(read_volume(path), path)
    if image.geometry.is_same(mask.geometry):
        return mask, False
    if not resample_labels:
        raise LabelMismatch(
            f"{path} is on another grid than its scan, {image.geometry.difference(mask.geometry)}; export it "
            "again, or resample it with --resample-labels."
        )
    return resample_segmentation(mask, image.geometry), True
