"""FLARE22: 2,000 abdominal CTs without contours, and 50 with 13 organs.

Scans without contours are called ``Case_00001_0000.nii.gz``. Those with contours are called
``FLARE22_Tr_0001_0000.nii.gz``, with the label map ``FLARE22_Tr_0001.nii.gz``. They are identified by file name in any
folder. Without requested structures the 2,000 are taken, with structures the 50. The validation images of the challenge
(``FLARETs_…``) are ignored.

Ma et al. 2024, Lancet Digital Health 6(11):e815–e826; https://flare22.grand-challenge.org.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.labelled_files import read_labelled, scans_by_name, select_structures
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.runtime.errors import BadInput

ARCHIVE = Archive(
    "FLARE22",
    "https://flare22.grand-challenge.org",
    "research only (unverified: its copies state different terms)",
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
"""Labels of the 13 organs, by TotalSegmentator's names."""

_UNLABELLED = re.compile(r"(Case_\d{5})_0000\.nii(\.gz)?")
_LABELLED = re.compile(r"(FLARE22_Tr_\d{4})_0000\.nii(\.gz)?")


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the scans below the sources: without requested structures those without contours, else those with them.

    Raises:
        BadInput: If there is none.
    """
    structures = () if options.structures is None else select_structures(LABELS, options.structures, ARCHIVE.title)
    labelled = bool(structures)
    files = ((path, folder) for folder in sources for path in files_below(folder))
    scans, problems = scans_by_name(files, _LABELLED if labelled else _UNLABELLED, "{}.nii.gz", labelled=labelled)
    if not scans:
        expected = "FLARE22_Tr_0001_0000.nii.gz with FLARE22_Tr_0001.nii.gz" if labelled else "Case_00001_0000.nii.gz"
        raise BadInput(f"There is no scan of FLARE22 below {sources[0]}; expected files such as {expected}.")

    def read(scan: FoundScan) -> ScanContents:
        image = read_volume(scan.files[0])
        if not scan.contours:
            return ScanContents(image)
        return read_labelled(scan, image, LABELS, structures, resample_labels=options.resample_labels)

    return FoundScans(
        tuple(scans),
        read,
        structures=structures,
        depends_on=str(options.resample_labels),
        problems=tuple(problems),
        resamples_labels=options.resample_labels,
        archive=replace(ARCHIVE, scans=None) if labelled else ARCHIVE,
    )


ADAPTER = Adapter("flare22", ARCHIVE.title, find, takes=("structures", "resample_labels"))
