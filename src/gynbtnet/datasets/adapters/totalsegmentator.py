"""TotalSegmentator datasets: ``sXXXX/ct.nii.gz`` and ``sXXXX/segmentations/<class>.nii.gz``.

Version 1 has 104 classes and version 2 has 117; 97 have the same name in both. If a version lacks a requested class
that its other classes make up, the class is composed of these (``COMPOSED``). The ``heart`` of version 2 is composed of
the chambers of version 1. The ``sacrum`` of version 1 is composed of the sacrum and ``vertebrae_S1`` of version 2.
Version 2 has no heart chambers, no pulmonary artery and no face.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.mask_files import read_mask_files
from gynbtnet.datasets.ingestion.found_scans import (
    FoundScan,
    FoundScans,
    NamedStructures,
    ScanContents,
    natural_order,
    search_each_source,
)
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.runtime.errors import BadInput

ARCHIVE = Archive("TotalSegmentator, version 1", "doi 10.5281/zenodo.6802614", "CC BY 4.0", 1204)
ARCHIVE_2 = Archive("TotalSegmentator, version 2", "doi 10.5281/zenodo.10047292", "CC BY 4.0")

COMPOSED = {
    "heart": (
        "heart_myocardium",
        "heart_atrium_left",
        "heart_ventricle_left",
        "heart_atrium_right",
        "heart_ventricle_right",
    ),
    "sacrum": ("sacrum", "vertebrae_S1"),
}
"""Classes of one version and the classes of the other version that compose them."""

_ONLY_IN_2 = {"spinal_cord", "vertebrae_S1", "heart", "skull", "sternum", "costal_cartilages", "superior_vena_cava"}
_SUFFIX = ".nii.gz"


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the cases below the sources; each is a separate patient.

    Raises:
        BadInput: If there is none, or more classes are requested than a label map can hold.
    """
    scans: list[FoundScan] = []
    folders, problems = search_each_source(_search, sources)
    for folder_scans, folder_problems in folders:
        scans += folder_scans
        problems += folder_problems
    classes = sorted({_class_name(path) for scan in scans for path in scan.contours})
    structures = tuple(classes if options.structures is None else options.structures)
    if len(structures) > np.iinfo(np.uint8).max:
        raise BadInput(f"{len(structures)} classes exceed the 255 of a label map; name the classes to take.")

    def read(scan: FoundScan) -> ScanContents:
        return _read(scan, structures, resample_labels=options.resample_labels)

    return FoundScans(
        tuple(scans),
        read,
        structures=structures,
        depends_on=str(options.resample_labels),
        problems=tuple(problems),
        resamples_labels=options.resample_labels,
        named_structures=lambda scan: _named_structures(scan, structures),
        archive=ARCHIVE_2 if _ONLY_IN_2.intersection(classes) else ARCHIVE,
    )


def _search(folder: Path) -> tuple[list[FoundScan], list[Problem]]:
    """Find the cases below a folder, and the scans without masks."""
    scans, problems = [], []
    for ct in (path for path in files_below(folder) if path.name == "ct.nii.gz"):
        masks = tuple(sorted((ct.parent / "segmentations").glob(f"[!.]*{_SUFFIX}")))
        if masks:
            scan = FoundScan(
                patient=ct.parent.name,
                time_order=natural_order(ct),
                folder=ct.parent,
                files=(ct,),
                contours=masks,
                synthetic=image_is_synthetic(ct, folder),
            )
            scans.append(scan)
        else:
            problems.append(Problem("missing", str(ct), f"{ct} has no masks in a folder segmentations next to it."))
    if not scans:
        raise BadInput(
            f"There is no case in TotalSegmentator's layout below {folder}; expected sXXXX/ct.nii.gz and "
            "sXXXX/segmentations/<class>.nii.gz."
        )
    return scans, problems


def _read(scan: FoundScan, structures: tuple[str, ...], *, resample_labels: bool) -> ScanContents:
    """Read a scan and the masks of the structures."""
    image = read_volume(scan.files[0])
    paths = {_class_name(path): path for path in scan.contours}
    masks = {
        structure: [paths[name] for name in classes]
        for structure, classes in _classes_by_structure(paths, structures).items()
    }
    contents = read_mask_files(image, masks, structures, resample_labels=resample_labels)
    named = _named_structures(scan, structures)
    return ScanContents(
        image,
        contents.segmentation,
        missing=named.missing,
        overlaps=contents.overlaps,
        unmapped=named.unmapped,
        notes=contents.notes,
    )


def _named_structures(scan: FoundScan, structures: Sequence[str]) -> NamedStructures:
    """Return the missing structures and the unused classes by the names of the masks."""
    paths = {_class_name(path): path for path in scan.contours}
    classes = _classes_by_structure(paths, structures)
    used = {name for names in classes.values() for name in names}
    return NamedStructures(
        missing=tuple(structure for structure in structures if not classes[structure]),
        unmapped=tuple(name for name in paths if name not in used),
    )


def _classes_by_structure(paths: Mapping[str, Path], structures: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the classes that make up each structure: itself, or its parts in the other version; none if absent."""
    return {structure: _classes(structure, paths, structures) for structure in structures}


def _classes(structure: str, paths: Mapping[str, Path], structures: Sequence[str]) -> tuple[str, ...]:
    parts = COMPOSED.get(structure, ())
    others = [part for part in parts if part != structure]
    if others and set(parts) <= set(paths) and not set(others).intersection(structures):
        return parts if structure not in paths or structure in parts else (structure,)
    return (structure,) if structure in paths else ()


def _class_name(path: Path) -> str:
    return path.name.removesuffix(_SUFFIX)


ADAPTER = Adapter("totalsegmentator", "TotalSegmentator", find, takes=("structures", "resample_labels"))
