"""HNSCC: CTs of head and neck, diagnostic and for planning, as DICOM from The Cancer Imaging Archive.

The downloader writes ``HNSCC/HNSCC-01-0001/<date, study>/<series>/1-001.dcm``, with PET, MR and radiotherapy objects
among the CT series. Every axial CT series of at least 16 images is taken, by PatientID; which of them the paper took is
not known.

Grossberg et al. 2018, Scientific Data 5:180173.
"""

from collections.abc import Sequence
from pathlib import Path

from gynbtnet.datasets.adapters.dicom_scans import archive_series
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents, in_each_source
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.imaging.dicom.ct_series import read_ct_files
from gynbtnet.imaging.dicom.slice_repairs import Repairs

ARCHIVE = Archive(
    "HNSCC, The Cancer Imaging Archive",
    "doi 10.7937/k9/tcia.2020.a8sh-7363",
    "restricted: an agreement with the archive must be signed",
    1287,
)


def find(sources: Sequence[Path], *, repairs: Repairs | None = None) -> FoundScans:
    """The CT series below some folders.

    Raises:
        BadInput: where there is none.
    """
    scans: list[FoundScan] = []
    left = 0
    held, problems = in_each_source(archive_series, sources)
    for series, damaged, others in held:
        scans += [scan for _, scan in series]
        problems += damaged
        left += others

    def read(scan: FoundScan) -> ScanContents:
        ct = read_ct_files(scan.files, repairs)
        return ScanContents(ct.volume, notes=(*scan.notes, *ct.notes))

    notes = (f"{left} CT series that are short or not axial were left out.",) if left else ()
    return FoundScans(
        tuple(scans), read, depends_on=repr(repairs), problems=tuple(problems), notes=notes, archive=ARCHIVE
    )
