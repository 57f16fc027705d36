"""RibFrac: 500 chest CTs with every rib fracture segmented (420 for training, 80 for tuning), and 160 without.

The files are ``RibFrac1-image.nii.gz`` and ``RibFrac1-label.nii.gz``, in folders named after parts of the download. A
label map numbers the fractures; the structure ``rib_fracture`` is all of them. Without requested structures only the
scans are taken. Scans above number 500 have no contours; the paper left them out.

Jin et al. 2020, EBioMedicine 62:103106; https://ribfrac.grand-challenge.org.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.labelled_files import read_labelled, scans_by_name, select_structures
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

ARCHIVE = Archive(
    "RibFrac",
    "doi 10.5281/zenodo.3893508, zenodo.3893498 and zenodo.3893496",
    "CC BY-NC 4.0 (unverified)",
    500,
)

STRUCTURE = "rib_fracture"
_LAST = 500
_IMAGE = re.compile(r"(RibFrac(\d+))-image\.nii(\.gz)?")


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the scans below the sources.

    Raises:
        BadInput: If there is none, or a structure other than ``rib_fracture`` is requested.
    """
    requested = options.structures
    structures = () if requested is None else select_structures({STRUCTURE: 1}, requested, ARCHIVE.title)
    files = [(path, folder) for folder in sources for path in files_below(folder)]
    kept = [(path, folder) for path, folder in files if not _is_unlabelled(path)]
    scans, problems = scans_by_name(kept, _IMAGE, "{}-label.nii.gz", labelled=bool(structures))
    excluded = len(files) - len(kept)
    if not scans:
        raise BadInput(f"There is no scan of RibFrac below {sources[0]}; expected files such as RibFrac1-image.nii.gz.")

    def read(scan: FoundScan) -> ScanContents:
        image = read_volume(scan.files[0])
        if not scan.contours:
            return ScanContents(image)
        fractures = {
            f"{STRUCTURE}_{label:g}": int(label)
            for label in np.unique(as_whole_labels(read_volume(scan.contours[0]), scan.contours[0]).array)
            if label
        }
        contents = read_labelled(scan, image, fractures, tuple(fractures), resample_labels=options.resample_labels)
        assert contents.segmentation
        labels = contents.segmentation.labels
        merged = replace(labels, array=(labels.array > 0).astype(np.uint8))
        return replace(contents, segmentation=replace(contents.segmentation, labels=merged, structures=structures))

    notes = (f"Left out: {counted(excluded, 'scan')} without contours, above number {_LAST}.",) if excluded else ()
    return FoundScans(
        tuple(scans),
        read,
        structures=structures,
        depends_on=str(options.resample_labels),
        problems=tuple(problems),
        resamples_labels=options.resample_labels,
        notes=notes,
        archive=ARCHIVE,
    )


def _is_unlabelled(path: Path) -> bool:
    """Return True for a scan without contours, which the paper left out."""
    match = _IMAGE.fullmatch(path.name)
    return match is not None and int(match[2]) > _LAST


ADAPTER = Adapter("ribfrac", ARCHIVE.title, find, takes=("structures", "resample_labels"))
