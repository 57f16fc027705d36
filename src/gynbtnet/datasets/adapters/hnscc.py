"""HNSCC: diagnostic and planning CTs of head and neck, as DICOM from The Cancer Imaging Archive.

The downloader writes ``HNSCC/HNSCC-01-0001/<date, study>/<series>/1-001.dcm``, with PET, MR and radiotherapy objects
among the CT series. Every axial CT series of at least 16 images is taken, by PatientID. It is not known which of them
the paper took.

Grossberg et al. 2018, Scientific Data 5:180173.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.dicom_scans import archive_series, read_dicom_scan
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, search_each_source
from gynbtnet.datasets.ingestion.public_archive import Archive

ARCHIVE = Archive(
    "HNSCC, The Cancer Imaging Archive",
    "doi 10.7937/k9/tcia.2020.a8sh-7363",
    "restricted: an agreement with the archive must be signed",
    1287,
)


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the axial CT series below the sources.

    Raises:
        BadInput: If there is none.
    """
    scans: list[FoundScan] = []
    excluded = 0
    downloads, problems = search_each_source(archive_series, sources)
    for download in downloads:
        scans += [scan for _, scan in download.series]
        problems += download.problems
        excluded += download.excluded
    notes = (f"{excluded} CT series that are short or not axial were left out.",) if excluded else ()
    return FoundScans(
        tuple(scans),
        partial(read_dicom_scan, repairs=options.repairs),
        depends_on=repr(options.repairs),
        problems=tuple(problems),
        notes=notes,
        archive=ARCHIVE,
    )


ADAPTER = Adapter("hnscc", ARCHIVE.title, find, takes=("repairs",))
