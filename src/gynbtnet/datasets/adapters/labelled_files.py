"""A scan and its label map as two image files; several archives lay their cases out so."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from gynbtnet.datasets.ingestion.found_scans import FoundScan, ScanContents, natural_order
from gynbtnet.datasets.ingestion.integrity import LabelMismatch, Problem
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.resample_to_grid import resample_segmentation
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.imaging.volume import Volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput

Labels = Mapping[str, int]
"""Label by name, background left out."""


def chosen_structures(labels: Labels, wanted: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """The structures wanted, or all in the order of their labels.

    Raises:
        BadInput: where one is wanted that the archive doesn't have, or there are more than a label map holds.
    """
    structures = tuple(sorted(labels, key=lambda name: labels[name]) if wanted is None else wanted)
    unknown = [name for name in structures if name not in labels]
    if unknown:
        raise BadInput(f"{where} has no {', '.join(unknown)}; it has {', '.join(labels) or 'no labels'}.")
    if len(structures) > np.iinfo(np.uint8).max:
        raise BadInput(f"{len(structures)} structures are more than the 255 that a label map holds; name those wanted.")
    return structures


def scans_by_name(
    files: Iterable[tuple[Path, Path]], image: re.Pattern[str], labels: str, *, labelled: bool
) -> tuple[list[FoundScan], list[Problem]]:
    """The scans among some files, known by their names, wherever their label maps lie; and those that lack one.

    Args:
        files: paths, each with the source that it lies below.
        image: the name of a scan; its first group is the patient.
        labels: the name of a label map for ``{}`` the patient, with ``.nii.gz``, which may be ``.nii``.
        labelled: whether label maps are wanted; else they are left alone.
    """
    files = list(files)
    named = {path.name.removesuffix(".gz"): path for path, _ in files}
    scans: list[FoundScan] = []
    problems: list[Problem] = []
    for path, folder in files:
        match = image.fullmatch(path.name)
        if match is None:
            continue
        expected = labels.format(match[1])
        drawn = named.get(expected.removesuffix(".gz")) if labelled else None
        if labelled and drawn is None:
            problems.append(Problem("missing", str(path), f"{path} has no label map {expected} below the source."))
            continue
        contours, synthetic = (drawn,) if drawn else (), image_is_synthetic(path, folder)
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
    own: StructureMasks | None = None,
) -> ScanContents:
    """The label map of a scan beside its ``image``, with label 1, 2, … in the order of ``structures``.

    Structures of ``own`` have the masks that are drawn there, on the grid of the label map, and not its labels.

    Raises:
        LabelMismatch: where the label map lies on another grid and is not to be resampled, or holds a label without
            name.
        BadInput: where it can't be read.
    """
    path = scan.contours[0]
    drawn = as_whole_labels(read_volume(path), path)
    notes: tuple[str, ...] = ()
    if not image.geometry.is_same(drawn.geometry):
        if not resample_labels:
            raise LabelMismatch(
                f"{path} lies on another grid than its scan, {image.geometry.difference(drawn.geometry)}; export it "
                "again, or have it resampled with --resample-labels."
            )
        drawn = resample_segmentation(drawn, image.geometry)
        notes = ("Resampled its label map onto the grid of the scan.",)
    held = np.unique(drawn.array)
    nameless = sorted(set(held.tolist()).difference(labels.values(), [0]))
    if nameless:
        listed = ", ".join(f"{label:g}" for label in nameless[:5])
        raise LabelMismatch(f"{path} holds the labels {listed}, which have no name in its dataset; mend one of them.")
    masks: dict[str, Mask] = {name: drawn.array == labels[name] for name in structures}
    if own is not None and own.bits.geometry.is_same(drawn.geometry):
        masks |= {name: own.mask(name) for name in own.structures if name in masks}
    segmentation, overlaps = paint_label_map(masks, structures, image.geometry)
    unmapped = tuple(name for name, label in labels.items() if name not in structures and label in held)
    return ScanContents(image, segmentation, (), overlaps, unmapped, notes, channels)
