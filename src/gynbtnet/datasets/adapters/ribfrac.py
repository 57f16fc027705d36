"""RibFrac: chest CTs, of which 500 have every rib fracture drawn (420 to train on, 80 to tune on), and 160 have not.

The files are ``RibFrac1-image.nii.gz`` and ``RibFrac1-label.nii.gz``, in folders called after parts of the download. In
a label map every fracture has a number of its own; wanted as ``rib_fracture`` all of them are one structure. Without
structures wanted the scans alone are taken; scans above number 500 are those without contours, which the paper left
out.

Jin et al. 2020, EBioMedicine 62:103106; https://ribfrac.grand-challenge.org.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gynbtnet.datasets.adapters.labelled_files import chosen_structures, read_labelled, scans_by_name
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.errors import BadInput

ARCHIVE = Archive(
    "RibFrac",
    "doi 10.5281/zenodo.3893508, zenodo.3893498 and zenodo.3893496",
    "CC BY-NC 4.0 (unverified)",
    500,
)

STRUCTURE = "rib_fracture"
_LAST = 500
_IMAGE = re.compile(r"(RibFrac(\d+))-image\.nii(\.gz)?")


def find(
    sources: Sequence[Path], *, structures: Sequence[str] | None = None, resample_labels: bool = False
) -> FoundScans:
    """The scans below some folders.

    Raises:
        BadInput: where there is none, or a structure other than ``rib_fracture`` is wanted.
    """
    wanted = () if structures is None else chosen_structures({STRUCTURE: 1}, structures, ARCHIVE.title)
    files = [(path, folder) for folder in sources for path in files_below(folder)]
    taken = [one for one in files if not _is_further(one[0])]
    scans, problems = scans_by_name(taken, _IMAGE, "{}-label.nii.gz", labelled=bool(wanted))
    further = len(files) - len(taken)
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
        each = read_labelled(scan, image, fractures, tuple(fractures), resample_labels=resample_labels)
        assert each.segmentation
        drawn = each.segmentation.labels
        one = replace(drawn, array=(drawn.array > 0).astype(np.uint8))
        return replace(each, segmentation=replace(each.segmentation, labels=one, structures=wanted))

    notes = (f"{further} scans without contours, above number {_LAST}, were left out.",) if further else ()
    return FoundScans(
        tuple(scans),
        read,
        structures=wanted,
        depends_on=str(resample_labels),
        problems=tuple(problems),
        resamples_labels=resample_labels,
        notes=notes,
        archive=ARCHIVE,
    )


def _is_further(path: Path) -> bool:
    """Whether it is a scan without contours, which the paper left out."""
    match = _IMAGE.fullmatch(path.name)
    return match is not None and int(match[2]) > _LAST
