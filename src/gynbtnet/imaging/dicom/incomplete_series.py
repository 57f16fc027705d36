"""Which CT series may lack a slice that can't be read.

A damaged file is a slice of the series that it names. If it names none, it may be a slice of any CT series in its
folder, unless its header, or what structure sets refer to, says otherwise. If these are of one patient, all are
incomplete. If they are of several patients, nobody can say whose slice it is: each is taken with a note, and a slice
missing from the middle of a series is noticed by its geometry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gynbtnet.imaging.dicom.damaged_files import DamagedFile
from gynbtnet.imaging.dicom.series import FoundSeries, SeriesSearch

NOTE = (
    "A file in the folder of this scan can't be read; if it was the first or last slice, the scan is shorter than it "
    "was."
)


@dataclass(frozen=True)
class Completeness:
    """The CT series of a folder, and which of them may lack a slice.

    Attributes:
        scans: all CT series.
        incomplete: for each series that can't be taken its damaged file, or one of several.
        doubtful: series that are taken with :data:`NOTE`.
    """

    scans: tuple[FoundSeries, ...]
    incomplete: Mapping[FoundSeries, DamagedFile]
    doubtful: frozenset[FoundSeries]

    @property
    def usable(self) -> tuple[FoundSeries, ...]:
        """The series that can be taken."""
        return tuple(one for one in self.scans if one not in self.incomplete)

    def cost_of(self, damaged: DamagedFile) -> tuple[FoundSeries, ...]:
        """The series that a damaged file makes incomplete."""
        return tuple(one for one, cause in self.incomplete.items() if cause is damaged)


def assess_completeness(search: SeriesSearch, referred: Mapping[str, frozenset[str]] | None = None) -> Completeness:
    """Say which CT series may lack a slice.

    Args:
        search: what a folder holds.
        referred: by SeriesInstanceUID, the SOPInstanceUIDs of the images that structure sets say it has.
    """
    scans = tuple(one for one in search.series if one.modality == "CT")
    incomplete: dict[FoundSeries, DamagedFile] = {}
    doubtful: set[FoundSeries] = set()
    for damaged in search.damaged:
        suspects = _suspects(damaged, scans, referred or {})
        if len({one.patient_id.strip() or one.study_uid for one in suspects}) > 1:
            doubtful.update(suspects)
        else:
            incomplete.update((one, damaged) for one in suspects if one not in incomplete)
    return Completeness(scans, incomplete, frozenset(doubtful.difference(incomplete)))


def _suspects(
    damaged: DamagedFile, scans: Sequence[FoundSeries], referred: Mapping[str, frozenset[str]]
) -> list[FoundSeries]:
    """The series that a damaged file may be a slice of."""
    if not damaged.may_be_ct:
        return []
    own = damaged.sop_instance_uid
    if own and any(own in one.instances for one in scans):
        return []  # the same slice is there whole
    if damaged.series_uid:
        return [one for one in scans if one.series_uid == damaged.series_uid]
    known = [one for one in scans if own and own in referred.get(one.series_uid, ())]
    return known or [
        one
        for one in scans
        if any(path.parent == damaged.path.parent for path in one.files)
        and damaged.patient_id.strip() in ("", one.patient_id.strip())
        and damaged.study_uid in ("", one.study_uid)
        and not _is_whole(one, referred.get(one.series_uid, frozenset()))
    ]


def _is_whole(series: FoundSeries, referred: frozenset[str]) -> bool:
    """Whether structure sets refer to each of its images, and to no other."""
    return bool(referred) and referred == set(series.instances)
