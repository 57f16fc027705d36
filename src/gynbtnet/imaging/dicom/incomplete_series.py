"""Completeness of CT series in a folder with damaged files.

A damaged file is a slice of the series that its header names. If it names none, it may be a slice of any CT series in
its folder, unless its header or a structure set excludes that. If these series are of one patient, all
count as incomplete. If they are of several patients, the owner of the slice is unknown: every series is used, with a
note. A slice missing in the middle of a series is found by the geometry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gynbtnet.imaging.dicom.damaged_files import DamagedFile
from gynbtnet.imaging.dicom.series import FoundSeries, SeriesSearch

POSSIBLY_SHORTER = (
    "A file in the folder of this scan can't be read. If it was the first or last slice, the scan is shorter than it "
    "was."
)


@dataclass(frozen=True)
class Completeness:
    """The CT series of a folder and their completeness.

    Attributes:
        scans: all CT series.
        incomplete: series that can't be used, each with its damaged file, or one of several.
        doubtful: series that are used with the note :data:`POSSIBLY_SHORTER`.
    """

    scans: tuple[FoundSeries, ...]
    incomplete: Mapping[FoundSeries, DamagedFile]
    doubtful: frozenset[FoundSeries]

    @property
    def usable(self) -> tuple[FoundSeries, ...]:
        """The series that can be used."""
        return tuple(series for series in self.scans if series not in self.incomplete)

    def made_incomplete_by(self, damaged: DamagedFile) -> tuple[FoundSeries, ...]:
        """Return the series that a damaged file makes incomplete."""
        return tuple(series for series, cause in self.incomplete.items() if cause is damaged)


def assess_completeness(search: SeriesSearch, referred: Mapping[str, frozenset[str]] | None = None) -> Completeness:
    """Find the CT series that may lack a slice.

    Args:
        search: series and damaged files of a folder.
        referred: SOPInstanceUIDs of the images that structure sets refer to, by SeriesInstanceUID.

    Returns:
        The CT series, and those of them that lack a slice or may lack one.
    """
    scans = tuple(series for series in search.series if series.modality == "CT")
    incomplete: dict[FoundSeries, DamagedFile] = {}
    doubtful: set[FoundSeries] = set()
    for damaged in search.damaged:
        suspects = _suspects(damaged, scans, referred or {})
        if len({series.patient_or_study for series in suspects}) > 1:
            doubtful.update(suspects)
        else:
            incomplete.update((series, damaged) for series in suspects if series not in incomplete)
    return Completeness(scans, incomplete, frozenset(doubtful.difference(incomplete)))


def _suspects(
    damaged: DamagedFile, scans: Sequence[FoundSeries], referred: Mapping[str, frozenset[str]]
) -> list[FoundSeries]:
    """Return the series to which a damaged file may belong."""
    if not damaged.is_possibly_ct:
        return []
    instance = damaged.sop_instance_uid
    if instance and any(instance in series.instances for series in scans):
        return []  # an intact copy of the slice exists
    if damaged.series_uid:
        return [series for series in scans if series.series_uid == damaged.series_uid]
    known = [series for series in scans if instance and instance in referred.get(series.series_uid, ())]
    return known or [
        series
        for series in scans
        if any(path.parent == damaged.path.parent for path in series.files)
        and damaged.patient_id.strip() in ("", series.patient_id.strip())
        and damaged.study_uid in ("", series.study_uid)
        and not _is_complete(series, referred.get(series.series_uid, frozenset()))
    ]


def _is_complete(series: FoundSeries, referred: frozenset[str]) -> bool:
    """Check if structure sets refer to each image of a series and to no others."""
    return bool(referred) and referred == set(series.instances)
