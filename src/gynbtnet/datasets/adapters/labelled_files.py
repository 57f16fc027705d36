"""Scans with a label map, each an image file, as in several archives."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gynbtnet.datasets.ingestion.found_scans import FoundScan, ScanContents, natural_order
from gynbtnet.datasets.ingestion.integrity import LabelMismatch, Problem, lost_by_resampling
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.resample_to_grid import resample_segmentation
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.imaging.volume import Volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput

Labels = Mapping[str, int] | Mapping[str, int | tuple[int, ...]]
"""Label by structure name, without background; several labels for a region, which may overlap others."""


def select_structures(labels: Labels, requested: Sequence[str] | None, dataset: str) -> tuple[str, ...]:
    """Return the requested structures, or all in the order of their labels if ``requested`` is None.

    Args:
        labels: label of each structure in the dataset.
        requested: names of structures.
        dataset: name of the dataset for messages.

    Returns:
        Names of the structures in the order of their new labels 1, 2, ….

    Raises:
        BadInput: If the dataset doesn't have a structure, or a label map can't hold so many.
    """
    structures = tuple(sorted(labels, key=lambda name: _numbers(labels[name])) if requested is None else requested)
    unknown = [name for name in structures if name not in labels]
    if unknown:
        raise BadInput(f"{dataset} has no {', '.join(unknown)}; it has {', '.join(labels) or 'no labels'}.")
    if len(structures) > np.iinfo(np.uint8).max:
        raise BadInput(f"{len(structures)} structures exceed the 255 of a label map; name the structures to take.")
    return structures


def scans_by_name(
    files: Iterable[tuple[Path, Path]], image: re.Pattern[str], labels: str, *, labelled: bool
) -> tuple[list[FoundScan], list[Problem]]:
    """Find scans by their file names, and their label maps in any folder.

    Args:
        files: paths, each with its source folder.
        image: pattern of the file name of a scan; its first group is the patient.
        labels: file name of a label map with ``{}`` for the patient and the suffix ``.nii.gz``; ``.nii`` is accepted.
        labelled: return each scan with its label map; otherwise label maps are ignored.

    Returns:
        The scans, and a problem for each scan that lacks its label map.
    """
    files = list(files)
    by_name = {path.name.removesuffix(".gz"): path for path, _ in files}
    scans: list[FoundScan] = []
    problems: list[Problem] = []
    for path, folder in files:
        match = image.fullmatch(path.name)
        if match is None:
            continue
        expected = labels.format(match[1])
        label_path = by_name.get(expected.removesuffix(".gz")) if labelled else None
        if labelled and label_path is None:
            problems.append(Problem("missing", str(path), f"{path} has no label map {expected} below the source."))
            continue
        contours, synthetic = (label_path,) if label_path else (), image_is_synthetic(path, folder)
        scans.append(FoundScan(match[1], natural_order(path), path.parent, (path,), contours, synthetic=synthetic))
    return scans, problems


def read_labelled(
    scan: FoundScan,
    image: Volume,
    labels: Labels,
    structures: Sequence[str],
    *,
    resample_labels: bool,
    channels: tuple[Volume, ...] = (),
    masks: StructureMasks | None = None,
) -> ScanContents:
    """Read the label map of a scan.

    Args:
        scan: the scan; its first contour file is the label map.
        image: first channel of the scan.
        labels: label of each structure in the label map.
        structures: structures to take; they get the labels 1, 2, … in this order.
        resample_labels: resample a label map that is not on the grid of the scan, by nearest neighbour.
        channels: further channels of the scan.
        masks: masks on the grid of the label map that replace its labels, for structures that overlap.

    Returns:
        The image with its channels, the structures on its grid, their overlaps and notes.

    Raises:
        LabelMismatch: If the label map is on another grid and is not to be resampled, or contains a label without a
            name.
        BadInput: If it can't be read.
    """
    path = scan.contours[0]
    label_image = as_whole_labels(read_volume(path), path)
    notes: tuple[str, ...] = ()
    if not image.geometry.is_same(label_image.geometry):
        if not resample_labels:
            raise LabelMismatch(
                f"{path} is on another grid than its scan, {image.geometry.difference(label_image.geometry)}; export "
                "it again, or resample it with --resample-labels."
            )
        original = label_image
        drawn = (
            (name, replace(original, array=np.isin(original.array, _numbers(labels[name])))) for name in structures
        )
        notes = (
            "Resampled its label map onto the grid of the scan.",
            *lost_by_resampling(drawn, image.geometry, path),
        )
        label_image = resample_segmentation(label_image, image.geometry)
    present = np.unique(label_image.array)
    named = {number for label in labels.values() for number in _numbers(label)}
    nameless = sorted(set(present.tolist()).difference(named, [0]))
    if nameless:
        listed = ", ".join(f"{label:g}" for label in nameless[:5])
        raise LabelMismatch(f"{path} has the labels {listed}, which its dataset doesn't name; correct one of them.")
    structure_masks: dict[str, Mask] = {name: np.isin(label_image.array, _numbers(labels[name])) for name in structures}
    if masks is not None and masks.geometry.is_same(label_image.geometry):
        structure_masks |= {name: masks.mask(name) for name in masks.structures if name in structure_masks}
    segmentation, overlaps = paint_label_map(structure_masks, structures, image.geometry)
    unmapped = tuple(
        name for name, label in labels.items() if name not in structures and np.isin(_numbers(label), present).any()
    )
    return ScanContents(image, segmentation, (), overlaps, unmapped, notes, channels)


def _numbers(label: int | tuple[int, ...]) -> tuple[int, ...]:
    return label if isinstance(label, tuple) else (label,)
