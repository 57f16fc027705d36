"""What an adapter found in a source, not read yet."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.imaging.label_map import Overlap
from gynbtnet.imaging.overlap_losses import OverlapLoss, measure_overlap_losses
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime.errors import BadInput

Held = TypeVar("Held")


@dataclass(frozen=True)
class FoundScan:
    """A scan in a source, not read yet.

    Attributes:
        patient: as the source identifies him or her: a PatientID, the name of a folder or of an image file.
        when: orders a patient's scans in time.
        folder: the folder of the CT; named where something is wrong with it.
        files: the scan's files: DICOM slices, or one image file.
        contours: the files of its contours: a structure set, masks, or none.
        series_uid: of a DICOM series, empty where an anonymiser emptied it; None for image files.
        rtstruct: the structure set, where the contours are one.
        drawn_for: the patient whom the contours say they are of; empty where they don't say.
        synthetic: whether the source says that no real patient was scanned.
        notes: why this scan was chosen.
        channels: image files of further channels.
        plans: RTPLANs that say which applicator is in place.
        fraction: the number of the fraction, where somebody says it; left out, fractions are numbered in time.
        applicator: its type, where somebody says it.
        applicator_by: who says it.
        position: DICOM's PatientPosition.
    """

    patient: str
    when: tuple[str | int, ...]
    folder: Path
    files: tuple[Path, ...]
    contours: tuple[Path, ...] = ()
    series_uid: str | None = None
    rtstruct: Path | None = None
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    channels: tuple[Path, ...] = ()
    plans: tuple[Path, ...] = ()
    fraction: int | None = None
    applicator: str | None = None
    applicator_by: str | None = None
    position: str | None = None
    drawn_for: str = ""

    @property
    def place(self) -> Path:
        """What stands for it in messages and in the manifest: the folder of a DICOM series, else the image file."""
        return self.folder if self.series_uid is not None else self.files[0]


@dataclass(frozen=True)
class ScanContents:
    """What an adapter reads of one scan; the notes are as in :class:`~gynbtnet.datasets.case.Case`.

    Attributes:
        image: the first channel.
        channels: further ones, where they come from the same file.
    """

    image: Volume
    segmentation: Segmentation | None = None
    missing: tuple[str, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    channels: tuple[Volume, ...] = ()

    @property
    def losses(self) -> tuple[OverlapLoss, ...]:
        """What structures lose to others in the label map."""
        return measure_overlap_losses(self.segmentation, self.overlaps) if self.segmentation else ()


@dataclass(frozen=True)
class NamedStructures:
    """What the names of a scan's files say of its structures; ``missing`` and ``unmapped`` as in ``ScanContents``."""

    missing: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundScans:
    """All that an adapter says of a source: its scans, and how one of them is read.

    Attributes:
        scans: in any order.
        read: reads one scan; raises BadInput where it can't be read. Other processes call it too.
        structures: as the segmentations have them.
        channels: what the images of a scan are.
        depends_on: what else decides what ``read`` returns, as text: names of ROIs, for instance.
        problems: what was seen to be wrong without reading scans.
        notes: what readers of results have to know, beside what the contours tell.
        archive: where the scans come from, where it is a public archive.
        resamples_labels: whether ``read`` brings labels on another grid onto that of their scan.
        named: what is known of a scan's structures before it is read; None if nothing is.
    """

    scans: tuple[FoundScan, ...]
    read: Callable[[FoundScan], ScanContents]
    structures: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("CT",)
    depends_on: str = ""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    archive: Archive | None = None
    resamples_labels: bool = False
    named: Callable[[FoundScan], NamedStructures] | None = None

    @property
    def own_archive(self) -> Archive | None:
        """The archive; None where a scan is synthetic, in whose layout it may lie all the same."""
        return None if any(scan.synthetic for scan in self.scans) else self.archive


def natural_order(path: Path) -> tuple[str | int, ...]:
    """A key that sorts ``fraction_10`` after ``fraction_9``."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path)))


def in_each_source(find: Callable[[Path], Held], sources: Sequence[Path]) -> tuple[list[Held], list[Problem]]:
    """Call ``find`` with every folder; one of several that holds nothing to take becomes a problem.

    Raises:
        BadInput: If no folder holds anything to take.
    """
    held: list[Held] = []
    problems: list[Problem] = []
    for folder in sources:
        try:
            held.append(find(folder))
        except BadInput as error:
            problems.append(Problem("missing", str(folder), str(error)))
    if problems and not held:
        raise BadInput(problems[0].reason)
    return held, problems


def source_folders(source: Path | Sequence[Path], out: Path) -> tuple[Path, ...]:
    """The folders to ingest, absolute.

    Raises:
        BadInput: where one is absent, or ``out`` lies in it, so that the cohort would become its own source.
    """
    folders = tuple(Path(folder).absolute() for folder in ([source] if isinstance(source, str | Path) else source))
    for folder in folders:
        if not folder.is_dir():
            raise BadInput(f"There is no folder {folder}; expected one with scans to ingest.")
        if Path(out).resolve().is_relative_to(folder.resolve()):
            raise BadInput(f"The cohort {out} would lie inside its source {folder}; name a folder outside it.")
    return folders
