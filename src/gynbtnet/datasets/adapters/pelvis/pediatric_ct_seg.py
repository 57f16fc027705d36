"""Pediatric-CT-SEG: CTs of children with contours of many organs, bladder, rectum and uterus among them.

The downloader of The Cancer Imaging Archive writes ``Pediatric-CT-SEG/<PatientID>/<date, study>/<series>/1-001.dcm``, a
CT and an RTSTRUCT for each of 359 patients. The organs are those of children: use them for pretraining or stage 2, and
not to evaluate contours of adults.

Jordan et al. 2022, Medical Physics 49(5):3523-3528, doi 10.1002/mp.15485.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.adapters import dicom_rt_export
from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.ingestion.found_scans import FoundScans
from gynbtnet.datasets.ingestion.public_archive import Archive

ARCHIVE = Archive(
    "Pediatric-CT-SEG, The Cancer Imaging Archive",
    "doi 10.7937/TCIA.X0H0-1706",
    "the archive's data usage policy (unverified)",
)
STRUCTURES = ("bladder", "rectum", "uterus")
"""Structures that are taken by default."""


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the CT series below the sources with their structure sets.

    Raises:
        BadInput: If a folder contains no RTSTRUCT, or no CT.
    """
    found = dicom_rt_export.find(sources, replace(options, structures=options.structures or STRUCTURES))
    return replace(found, archive=ARCHIVE)


ADAPTER = Adapter("pediatric-ct-seg", ARCHIVE.title, find, takes=("structures", "names", "repairs", "rtstruct"))
