"""The layout of the TotalSegmentator datasets: ``sXXXX/ct.nii.gz`` and ``sXXXX/segmentations/<class>.nii.gz``.

Version 1: 1,204 CTs with 104 classes, doi 10.5281/zenodo.6802613, CC BY 4.0 (Wasserthal et al. 2023, Radiology:
Artificial Intelligence 5(5)).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion import FoundScan, ScanContents, ingest_found, natural_order, source_folders
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.datasets.synthetic_marks import image_is_synthetic
from gynbtnet.errors import BadInput
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.label_map import Mask, label_map
from gynbtnet.imaging.onto_grid import labels_onto
from gynbtnet.imaging.volume_files import read_volume

_SUFFIX = ".nii.gz"


def ingest(
    source: Path | Sequence[Path],
    out: Path,
    *,
    structures: Sequence[str] | None = None,
    resample_labels: bool = False,
    key: PatientKey | None = None,
    name: str | None = None,
) -> Cohort:
    """Make a cohort of every ``ct.nii.gz`` with a folder ``segmentations`` beside it; each is a patient of its own.

    Args:
        source: one folder or several, searched with everything below.
        out: folder for the cohort.
        structures: the classes wanted, label 1, 2, …; left out, all that any case has, by name.
        resample_labels: bring masks on another grid than their scan's onto that, by nearest neighbour.
        key: gives patients their study IDs, where it is kept apart; left out, they keep the names of their folders.
        name: of the cohort; left out, that of ``out``.

    Raises:
        BadInput: where there is no such case, no case has a class wanted, or a mask lies on another grid than its scan
            and is not to be resampled.
    """
    found = [scan for folder in source_folders(source, out) for scan in _find(folder)]
    classes = sorted({_class(path) for scan in found for path in scan.contours})
    wanted = tuple(classes if structures is None else structures)
    if len(wanted) > np.iinfo(np.uint8).max:
        raise BadInput(f"{len(wanted)} classes are more than the 255 that a label map holds; name those wanted.")

    def read(scan: FoundScan) -> ScanContents:
        return _read(scan, wanted, resample_labels=resample_labels)

    return ingest_found(found, read, out, structures=wanted, depends_on=str(resample_labels), key=key, name=name)


def _find(folder: Path) -> list[FoundScan]:
    found = []
    for ct in (path for path in files_below(folder) if path.name == "ct.nii.gz"):
        masks = tuple(sorted((ct.parent / "segmentations").glob(f"[!.]*{_SUFFIX}")))
        if masks:
            found.append(
                FoundScan(
                    patient=ct.parent.name,
                    when=natural_order(ct),
                    folder=ct.parent,
                    files=(ct,),
                    contours=masks,
                    synthetic=image_is_synthetic(ct, folder),
                )
            )
    if not found:
        raise BadInput(
            f"There is no case of TotalSegmentator's layout below {folder}; expected sXXXX/ct.nii.gz and "
            "sXXXX/segmentations/<class>.nii.gz."
        )
    return found


def _read(scan: FoundScan, wanted: tuple[str, ...], *, resample_labels: bool) -> ScanContents:
    image = read_volume(scan.files[0])
    paths = {_class(path): path for path in scan.contours}
    masks: dict[str, Mask] = {}
    moved = 0
    for structure in wanted:
        if structure in paths:
            mask = read_volume(paths[structure])
            if not image.geometry.is_same(mask.geometry):
                if not resample_labels:
                    raise BadInput(
                        f"{paths[structure]} lies on another grid than its scan, "
                        f"{image.geometry.difference(mask.geometry)}; export it again, or have it resampled with "
                        "--resample-labels."
                    )
                mask = labels_onto(mask, image.geometry)
                moved += 1
            masks[structure] = mask.array > 0
    segmentation, overlaps = label_map(masks, wanted, image.geometry)
    missing = tuple(structure for structure in wanted if structure not in paths)
    unmapped = tuple(structure for structure in paths if structure not in wanted)
    notes = (f"Resampled {moved} masks onto the grid of the scan.",) if moved else ()
    return ScanContents(image, segmentation, missing, overlaps, unmapped, notes)


def _class(path: Path) -> str:
    return path.name.removesuffix(_SUFFIX)
