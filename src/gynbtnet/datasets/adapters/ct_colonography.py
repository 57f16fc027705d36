"""CT colonography of the trial ACRIN 6664, supine and prone, as DICOM from The Cancer Imaging Archive.

The downloader writes ``CT COLONOGRAPHY/1.3.6.1.4.1.9328.50.4.0001/<date, study>/<series>/1-001.dcm``: scouts and, of
825 patients, scans lying on the back and on the belly, some of them reconstructed several times. Of each patient's
axial series in one position the one with the most images is taken. The position is DICOM's PatientPosition (FFS and HFS
are supine, FFP and HFP prone), else the word "supine" or "prone" in the series' description; series of unknown position
are one group. The paper took 1,599; which is not known.

Smith et al. 2015, Data From CT COLONOGRAPHY; Johnson et al. 2008, N Engl J Med 359:1207-1217.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.adapters.dicom_scans import archive_series
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents, in_each_source
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.imaging.dicom.ct_series import read_ct_files
from gynbtnet.imaging.dicom.series import FoundSeries
from gynbtnet.imaging.dicom.slice_repairs import Repairs

ARCHIVE = Archive(
    "CT COLONOGRAPHY (ACRIN 6664), The Cancer Imaging Archive",
    "doi 10.7937/K9/TCIA.2015.NWTESAY1",
    "CC BY 3.0",
    1599,
)

_POSITIONS = {"FFS": "supine", "HFS": "supine", "FFP": "prone", "HFP": "prone"}


def find(sources: Sequence[Path], *, repairs: Repairs | None = None) -> FoundScans:
    """The scans below some folders.

    Raises:
        BadInput: where there is none.
    """
    largest: dict[tuple[str, str], tuple[int, FoundScan]] = {}
    left = doubles = 0
    held, problems = in_each_source(archive_series, sources)
    for series, damaged, others in held:
        problems += damaged
        left += others
        for one, scan in series:
            position = _position(scan, one)
            standing = largest.get((scan.patient, position))
            doubles += standing is not None
            if standing is None or one.images > standing[0]:
                largest[scan.patient, position] = one.images, replace(scan, when=(*scan.when[:2], position))
    scans = tuple(scan for _, scan in largest.values())

    def read(scan: FoundScan) -> ScanContents:
        ct = read_ct_files(scan.files, repairs)
        return ScanContents(ct.volume, notes=(*scan.notes, *ct.notes))

    positions = Counter(position for _, position in largest)
    counted = ", ".join(f"{count} {position}" for position, count in sorted(positions.items()))
    note = (
        f"{counted}; {doubles} further series of a patient in one position, and {left} that are short or not axial, "
        "were left out."
    )
    return FoundScans(scans, read, depends_on=repr(repairs), problems=tuple(problems), notes=(note,), archive=ARCHIVE)


def _position(scan: FoundScan, series: FoundSeries) -> str:
    words = series.description.lower()
    said = [word for word in ("supine", "prone") if word in words]
    return _POSITIONS.get(scan.position or "", said[0] if len(said) == 1 else "in an unknown position")
