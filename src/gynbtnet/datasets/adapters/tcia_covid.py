"""CT Images in COVID-19: chest CTs as NIfTI from The Cancer Imaging Archive.

The files are called ``volume-covid19-A-0001.nii.gz``, and ``volume-covid19-A-0700_day000.nii.gz`` for patients who were
scanned repeatedly. The number identifies the patient. Days are counted from the first scan and order the scans.

An et al. 2020, CT Images in COVID-19 [Data set]; Harmon et al. 2020, Nature Communications 11,
doi 10.1038/s41467-020-17971-2.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.runtime.errors import BadInput

ARCHIVE = Archive(
    "CT Images in COVID-19, The Cancer Imaging Archive",
    "doi 10.7937/tcia.2020.gqry-nc81",
    "CC BY 4.0 (unverified)",
    771,
)

_NAME = re.compile(r"(volume-covid19-A-\d{4})(?:_day(\d+))?\.nii(\.gz)?")


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the scans below the sources.

    Raises:
        BadInput: If there is none.
    """
    scans = []
    for folder in sources:
        for path in files_below(folder):
            match = _NAME.fullmatch(path.name)
            if match:
                day = int(match[2] or 0)
                synthetic = image_is_synthetic(path, folder)
                scans.append(FoundScan(match[1], (day, path.name), path.parent, (path,), synthetic=synthetic))
    if not scans:
        raise BadInput(
            f"There is no scan of CT Images in COVID-19 below {sources[0]}; expected files such as "
            "volume-covid19-A-0001.nii.gz."
        )
    return FoundScans(tuple(scans), _read, archive=ARCHIVE)


def _read(scan: FoundScan) -> ScanContents:
    return ScanContents(read_volume(scan.files[0]))


ADAPTER = Adapter("tcia-covid", ARCHIVE.title, find)
