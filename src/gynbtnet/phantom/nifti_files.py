"""Phantom cases as NIfTI files, whose headers note that they are synthetic."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from gynbtnet.imaging.files.label_names import labels_by_name
from gynbtnet.imaging.files.library_images import to_sitk
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.phantom.case import PhantomCase
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.json_files import write_json

NOTE = "SYNTHETIC PHANTOM"


def write_synthetic(volume: Volume, path: Path) -> None:
    """Write ``volume`` atomically, with the note in the header's ``descrip``."""
    image = to_sitk(volume)
    image.SetMetaData("ITK_FileNotes", NOTE)
    with atomic_write(Path(path)) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True, compressionLevel=1)


def write_nifti_fraction(case: PhantomCase, folder: Path) -> None:
    """Write ``ct.nii.gz``, ``labels.nii.gz`` and, if the case has a dose, ``dose.nii.gz`` (Gy).

    If structures overlap, ``masks/<structure>.nii.gz`` replaces the label map.
    """
    write_synthetic(case.scan, folder / "ct.nii.gz")
    if isinstance(case.structures, OverlappingSegmentation):
        _write_masks(case.structures, folder / "masks")
    else:
        write_synthetic(case.structures.labels, folder / "labels.nii.gz")
    if case.dose is not None:
        write_synthetic(case.dose, folder / "dose.nii.gz")


def write_dataset_json(folder: Path, structures: Sequence[str]) -> None:
    """Write ``dataset.json``, by which nnU-Net and ``gynbtnet ingest --layout nnunet`` read the fractions in a folder.

    It lists the files of each case, and its patient and fraction, which nnU-Net ignores.

    Args:
        folder: folder with ``<patient>/fraction-<number>``.
        structures: names of the labels 1, 2, ….
    """
    fractions = sorted(folder.glob("*/fraction-*"), key=lambda path: (path.parent.name, int(path.name.split("-")[1])))
    dataset = {}
    for path in fractions:
        patient, number = path.parent.name, int(path.name.split("-")[1])
        base = path.relative_to(folder).as_posix()
        files = {"images": [f"{base}/ct.nii.gz"], "label": f"{base}/labels.nii.gz"}
        dataset[f"{patient}_f{number}"] = {**files, "patient": patient, "fraction": number}
    content = {
        "name": NOTE,
        "channel_names": {"0": "CT"},
        "labels": labels_by_name(structures),
        "numTraining": len(dataset),
        "file_ending": ".nii.gz",
        "dataset": dataset,
    }
    write_json(content, folder / "dataset.json")


def write_organ_case(case: PhantomCase, folder: Path) -> None:
    """Write TotalSegmentator's layout; as there, a class outside the field of view has an empty mask."""
    write_synthetic(case.scan, folder / "ct.nii.gz")
    _write_masks(case.organs, folder / "segmentations")


def _write_masks(segmentation: Segmentation, folder: Path) -> None:
    """Write one mask per structure, ``<structure>.nii.gz``."""
    for structure in segmentation.structures:
        mask = Volume(segmentation.mask(structure).astype(np.uint8), segmentation.labels.geometry)
        write_synthetic(mask, folder / f"{structure}.nii.gz")
