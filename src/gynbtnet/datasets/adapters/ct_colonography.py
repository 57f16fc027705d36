"""CT colonography of the trial ACRIN 6664, supine and prone, as DICOM from The Cancer Imaging Archive.

The downloader writes ``CT COLONOGRAPHY/1.3.6.1.4.1.9328.50.4.0001/<date, study>/<series>/1-001.dcm``: scouts and supine
and prone scans of 825 patients, some of them reconstructed several times. For each patient and position, the axial
series with the most images is taken. The position is DICOM's PatientPosition (FFS and HFS are supine, FFP and HFP
prone). Otherwise it is the word "supine" or "prone" in the description of the series; series of unknown position are
one group. The paper took 1,599 series; it is not known which.

Smith et al. 2015, Data From CT COLONOGRAPHY; Johnson et al. 2008, N Engl J Med 359:1207-1217.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.dicom_scans import archive_series, read_dicom_scan
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, search_each_source
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.imaging.dicom.series import FoundSeries

ARCHIVE = Archive(
    "CT COLONOGRAPHY (ACRIN 6664), The Cancer Imaging Archive",
    "doi 10.7937/K9/TCIA.2015.NWTESAY1",
    "CC BY 3.0",
    1599,
)

_POSITIONS = {"FFS": "supine", "HFS": "supine", "FFP": "prone", "HFP": "prone"}


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the longest series per patient and position below the sources.

    Raises:
        BadInput: If there is no axial CT series.
    """
    longest: dict[tuple[str, str], tuple[int, FoundScan]] = {}
    excluded = shorter = 0
    downloads, problems = search_each_source(archive_series, sources)
    for download in downloads:
        problems += download.problems
        excluded += download.excluded
        for series, scan in download.series:
            position = _position(scan, series)
            previous = longest.get((scan.patient, position))
            shorter += previous is not None
            if previous is None or series.images > previous[0]:
                ordered = replace(scan, time_order=(*scan.time_order[:2], position))
                longest[scan.patient, position] = series.images, ordered
    positions = Counter(position for _, position in longest)
    counts = ", ".join(f"{count} {position}" for position, count in sorted(positions.items()))
    note = (
        f"{counts}. Left out: {shorter} further series of a patient in one position, and {excluded} short or not axial."
    )
    return FoundScans(
        tuple(scan for _, scan in longest.values()),
        partial(read_dicom_scan, repairs=options.repairs),
        depends_on=repr(options.repairs),
        problems=tuple(problems),
        notes=(note,),
        archive=ARCHIVE,
    )


def _position(scan: FoundScan, series: FoundSeries) -> str:
    """Return the position of a patient by the header, or by the description of the series."""
    description = series.description.lower()
    words = [word for word in ("supine", "prone") if word in description]
    return _POSITIONS.get(scan.position or "", words[0] if len(words) == 1 else "in an unknown position")


ADAPTER = Adapter("ct-colonography", ARCHIVE.title, find, takes=("repairs",))
