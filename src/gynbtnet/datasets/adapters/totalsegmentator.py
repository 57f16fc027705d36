"""The layout of the TotalSegmentator datasets: ``sXXXX/ct.nii.gz`` and ``sXXXX/segmentations/<class>.nii.gz``.

Version 1 has 104 classes, version 2 has 117: 97 are called alike in both. Where a class is wanted that a version
doesn't have and that its other classes make up, it is made of these (``COMPOSED``): the ``heart`` of version 2 from the
chambers of version 1, and the ``sacrum`` of version 1 from the sacrum and ``vertebrae_S1`` of version 2. Version 2 has
no heart chambers, no pulmonary artery and no face.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.found_scans import (
    FoundScan,
    FoundScans,
    NamedStructures,
    ScanContents,
    in_each_source,
    natural_order,
    source_folders,
)
from gynbtnet.datasets.ingestion.ingest import ingest_found
from gynbtnet.datasets.ingestion.integrity import LabelMismatch, Problem
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.resample_to_grid import resample_segmentation
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.array_types import Mask
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
"""Classes that one version has and the other has in parts."""

_ONLY_IN_2 = {"spinal_cord", "vertebrae_S1", "heart", "skull", "sternum", "costal_cartilages", "superior_vena_cava"}
_SUFFIX = ".nii.gz"


def ingest(
    source: Path | Sequence[Path],
    out: Path,
    *,
    structures: Sequence[str] | None = None,
    resample_labels: bool = False,
    key: PatientKey | None = None,
    name: str | None = None,
    jobs: int = 1,
    allow_overlap: bool = False,
) -> Cohort:
    """Make a cohort of every ``ct.nii.gz`` with a folder ``segmentations`` beside it; each is a patient of its own.

    Args:
        source: one folder or several, searched with everything below.
        out: folder for the cohort.
        structures: the classes wanted, label 1, 2, …; left out, all that any case has, by name.
        resample_labels: bring masks on another grid than their scan's onto that, by nearest neighbour.
        key: gives patients their study IDs, where it is kept apart; left out, they keep the names of their folders.
        name: of the cohort; left out, that of ``out``.
        jobs: scans at once, each in a process of its own.
        allow_overlap: see :func:`~gynbtnet.datasets.ingestion.ingest.ingest_found`.

    Raises:
        BadInput: where there is no such case, a scan has no masks, no case has a class wanted, or a mask lies on
            another grid than its scan and is not to be resampled.
    """
    found = find(source_folders(source, out), structures=structures, resample_labels=resample_labels)
    return ingest_found(found, out, key=key, name=name, jobs=jobs, allow_overlap=allow_overlap).cohort


def find(
    sources: Sequence[Path], *, structures: Sequence[str] | None = None, resample_labels: bool = False
) -> FoundScans:
    """The cases below some folders.

    Raises:
        BadInput: where there is none, or more classes are wanted than a label map holds.
    """
    scans: list[FoundScan] = []
    held, problems = in_each_source(_find, sources)
    for found, incomplete in held:
        scans += found
        problems += incomplete
    classes = sorted({_class(path) for scan in scans for path in scan.contours})
    wanted = tuple(classes if structures is None else structures)
    if len(wanted) > np.iinfo(np.uint8).max:
        raise BadInput(f"{len(wanted)} classes are more than the 255 that a label map holds; name those wanted.")

    def read(scan: FoundScan) -> ScanContents:
        return _read(scan, wanted, resample_labels=resample_labels)

    return FoundScans(
        tuple(scans),
        read,
        structures=wanted,
        depends_on=str(resample_labels),
        problems=tuple(problems),
        resamples_labels=resample_labels,
        named=lambda scan: _named(scan, wanted),
        archive=ARCHIVE_2 if _ONLY_IN_2.intersection(classes) else ARCHIVE,
    )


def _find(folder: Path) -> tuple[list[FoundScan], list[Problem]]:
    found, problems = [], []
    for ct in (path for path in files_below(folder) if path.name == "ct.nii.gz"):
        masks = tuple(sorted((ct.parent / "segmentations").glob(f"[!.]*{_SUFFIX}")))
        if masks:
            scan = FoundScan(
                patient=ct.parent.name,
                when=natural_order(ct),
                folder=ct.parent,
                files=(ct,),
                contours=masks,
                synthetic=image_is_synthetic(ct, folder),
            )
            found.append(scan)
        else:
            problems.append(Problem("missing", str(ct), f"{ct} has no masks in a folder segmentations beside it."))
    if not found:
        raise BadInput(
            f"There is no case of TotalSegmentator's layout below {folder}; expected sXXXX/ct.nii.gz and "
            "sXXXX/segmentations/<class>.nii.gz."
        )
    return found, problems


def _read(scan: FoundScan, wanted: tuple[str, ...], *, resample_labels: bool) -> ScanContents:
    image = read_volume(scan.files[0])
    paths = {_class(path): path for path in scan.contours}
    moved = 0

    def read_mask(path: Path) -> Mask:
        nonlocal moved
        mask = as_whole_labels(read_volume(path), path)
        if not image.geometry.is_same(mask.geometry):
            if not resample_labels:
                raise LabelMismatch(
                    f"{path} lies on another grid than its scan, {image.geometry.difference(mask.geometry)}; export it "
                    "again, or have it resampled with --resample-labels."
                )
            mask = resample_segmentation(mask, image.geometry)
            moved += 1
        return mask.array > 0

    parts = {structure: _parts(structure, paths, wanted) for structure in wanted}
    masks = {
        structure: np.logical_or.reduce([read_mask(paths[part]) for part in of_it])
        for structure, of_it in parts.items()
        if of_it
    }
    segmentation, overlaps = paint_label_map(masks, wanted, image.geometry)
    named = _named(scan, wanted)
    notes = (f"Resampled {moved} masks onto the grid of the scan.",) if moved else ()
    return ScanContents(
        image,
        segmentation,
        missing=named.missing,
        overlaps=overlaps,
        unmapped=named.unmapped,
        notes=notes,
    )


def _named(scan: FoundScan, wanted: Sequence[str]) -> NamedStructures:
    paths = {_class(path): path for path in scan.contours}
    parts = {structure: _parts(structure, paths, wanted) for structure in wanted}
    used = {part for of_it in parts.values() for part in of_it}
    return NamedStructures(
        missing=tuple(structure for structure in wanted if not parts[structure]),
        unmapped=tuple(name for name in paths if name not in used),
    )


def _parts(structure: str, paths: dict[str, Path], wanted: Sequence[str]) -> tuple[str, ...]:
    """The classes that make up a structure: itself, or what it consists of in the other version; none where absent."""
    parts = COMPOSED.get(structure, ())
    others = [part for part in parts if part != structure]
    if others and set(parts) <= set(paths) and not set(others).intersection(wanted):
        return parts if structure not in paths or structure in parts else (structure,)
    return (structure,) if structure in paths else ()


def _class(path: Path) -> str:
    return path.name.removesuffix(_SUFFIX)
