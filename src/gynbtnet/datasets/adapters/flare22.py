"""FLARE22: 2,000 abdominal CTs without contours, and 50 with 13 organs.

The files are ``Case_00001_0000.nii.gz`` … without contours, ``FLARE22_Tr_0001_0000.nii.gz`` … with contours in
``FLARE22_Tr_0001.nii.gz`` …; they are known by their names, whatever the folders are called. Without structures wanted
the 2,000 are taken, with structures the 50. The images of the challenge's validation (``FLARETs_…``) are left alone.

Ma et al. 2024, Lancet Digital Health 6(11):e815–e826; https://flare22.grand-challenge.org.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.adapters.labelled_files import chosen_structures, read_labelled, scans_by_name
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.runtime.errors import BadInput

ARCHIVE = Archive(
    "FLARE22",
    "https://flare22.grand-challenge.org",
    "research only (unverified: copies of it say different things)",
    2000,
)

LABELS = {
    name: label
    for label, name in enumerate(
        (
            *("liver", "kidney_right", "spleen", "pancreas", "aorta", "inferior_vena_cava", "adrenal_gland_right"),
            *("adrenal_gland_left", "gallbladder", "esophagus", "stomach", "duodenum", "kidney_left"),
        ),
        start=1,
    )
}
"""The 13 organs, by the names that TotalSegmentator has for them."""

_UNLABELLED = re.compile(r"(Case_\d{5})_0000\.nii(\.gz)?")
_LABELLED = re.compile(r"(FLARE22_Tr_\d{4})_0000\.nii(\.gz)?")


def find(
    sources: Sequence[Path], *, structures: Sequence[str] | None = None, resample_labels: bool = False
) -> FoundScans:
    """The scans below some folders: without structures those without contours, with structures those with them.

    Raises:
        BadInput: where there is none.
    """
    wanted = () if structures is None else chosen_structures(LABELS, structures, ARCHIVE.title)
    files = ((path, folder) for folder in sources for path in files_below(folder))
    scans, problems = scans_by_name(files, _LABELLED if wanted else _UNLABELLED, "{}.nii.gz", labelled=bool(wanted))
    if not scans:
        expected = "FLARE22_Tr_0001_0000.nii.gz with FLARE22_Tr_0001.nii.gz" if wanted else "Case_00001_0000.nii.gz"
        raise BadInput(f"There is no scan of FLARE22 below {sources[0]}; expected files such as {expected}.")

    def read(scan: FoundScan) -> ScanContents:
        image = read_volume(scan.files[0])
        if not scan.contours:
            return ScanContents(image)
        return read_labelled(scan, image, LABELS, wanted, resample_labels=resample_labels)

    return FoundScans(
        tuple(scans),
        read,
        structures=wanted,
        depends_on=str(resample_labels),
        problems=tuple(problems),
        resamples_labels=resample_labels,
        archive=replace(ARCHIVE, scans=None) if wanted else ARCHIVE,
    )
