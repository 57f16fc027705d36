"""Scans that an adapter found in a source, before their voxels are read."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from gynbtnet.datasets.case import Source
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.imaging.label_map import Overlap, paint_label_map
from gynbtnet.imaging.overlap_losses import OverlapLoss, measure_overlap_losses
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime.errors import BadInput

Result = TypeVar("Result")


@dataclass(frozen=True)
class FoundScan:
    """A scan in a source, before its voxels are read.

    Attributes:
        patient: identifier of the patient in the source: PatientID, name of a folder or of an image file.
        time_order: key that sorts the scans of a patient by time.
        folder: folder of the CT, for messages.
        files: files of the scan: DICOM slices, or one image file.
        contours: files of its contours: a structure set, masks, or none.
        series_uid: SeriesInstanceUID, empty if an anonymiser emptied it; None for image files.
        rtstruct: structure set, if the contours are one.
        synthetic: True if the source states that no real patient was scanned.
        notes: reasons why this scan was chosen.
        channels: image files of further channels.
        plans: RTPLANs that name the applicator.
        fraction: number of the fraction; None if fractions are to be numbered by time.
        applicator: applicator type, if it is known.
        applicator_source: source of the applicator type.
        position: DICOM's PatientPosition.
        contour_patient: PatientID of the contours; empty if they have none.
        case_id: id of the scan in its dataset, which it keeps; None if the id is to be made from patient and fraction.
        origin: source of the scan before it came into the dataset, if the dataset records it.
        automatic: GynBTNet predicted the contours and nobody has approved them.
        has_study_id: ``patient`` can be a study ID that an earlier ingestion assigned. In any other scan it is an
            identifier of the source, even if it looks like a study ID.
    """

    patient: str
    time_order: tuple[str | int, ...]
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
    applicator_source: str | None = None
    position: str | None = None
    contour_patient: str = ""
    automatic: bool = False
    has_study_id: bool = False
    case_id: str | None = None
    origin: Source | None = None

    @property
    def path(self) -> Path:
        """Path of the scan in messages and in the manifest: folder of a DICOM series, or the image file."""
        return self.folder if self.series_uid is not None else self.files[0]


@dataclass(frozen=True)
class ScanContents:
    """Voxels and contours of one scan, as an adapter reads them.

    Attributes:
        image: first channel.
        segmentation: label map; None if the scan has no contours.
        missing: requested structures that the scan lacks.
        overlaps: pairs of structures that share voxels.
        unmapped: ROI names or labels that don't map to a requested structure.
        notes: choices and repairs made while reading, one sentence each.
        channels: further channels, if they are in the same file.
        interpolated: number of slices between contours that were interpolated, by structure.
    """

    image: Volume
    segmentation: Segmentation | None = None
    missing: tuple[str, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    channels: tuple[Volume, ...] = ()
    interpolated: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def losses(self) -> tuple[OverlapLoss, ...]:
        """Volumes that structures lose to others in the label map."""
        return measure_overlap_losses(self.segmentation, self.overlaps) if self.segmentation else ()

    def with_priority(self, priority: Sequence[str]) -> "ScanContents":
        """Return the contents with another owner of shared voxels in the label map.

        Args:
            priority: see :func:`~gynbtnet.imaging.label_map.painting_order`.
        """
        if not priority or self.segmentation is None or not self.overlaps:
            return self
        structures, geometry = self.segmentation.structures, self.segmentation.labels.geometry
        masks = {structure: self.segmentation.mask(structure) for structure in structures}
        segmentation, overlaps = paint_label_map(masks, structures, geometry, priority)
        return replace(self, segmentation=segmentation, overlaps=overlaps)


@dataclass(frozen=True)
class NamedStructures:
    """Structures of a scan by its file names; ``missing`` and ``unmapped`` are as in :class:`ScanContents`."""

    missing: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundScans:
    """Scans that an adapter found in a source, with the function that reads them.

    Attributes:
        scans: the scans, in any order.
        read: function that reads one scan, or raises BadInput. Other processes call it too.
        structures: structures of the segmentations, in label order.
        channels: names of the channels of a scan.
        depends_on: everything else that determines what ``read`` returns, as text: names of ROIs, for instance.
        problems: problems that were detected without reading scans.
        notes: facts that a reader of results has to know, in addition to the notes on cases.
        archive: public archive of the scans, if they are in the layout of one.
        resamples_labels: True if ``read`` resamples labels onto the grid of their scan.
        named_structures: function that returns the structures of a scan by its file names; None if names don't show
            them.
        has_regions: True if structures overlap by their definition, so that no overlap is a mistake.
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
    named_structures: Callable[[FoundScan], NamedStructures] | None = None
    has_regions: bool = False

    @property
    def real_archive(self) -> Archive | None:
        """The public archive; None if a scan is synthetic, since synthetic scans can have an archive's layout too."""
        return None if any(scan.synthetic for scan in self.scans) else self.archive


def natural_order(path: Path) -> tuple[str | int, ...]:
    """Return a key that sorts ``fraction_10`` after ``fraction_9``.

    Args:
        path: path to sort.

    Returns:
        The parts of the path, with runs of digits as numbers.
    """
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(path)))


def search_each_source(search: Callable[[Path], Result], sources: Sequence[Path]) -> tuple[list[Result], list[Problem]]:
    """Call ``search`` with every folder; a folder without scans becomes a problem if another one has some.

    Raises:
        BadInput: If no folder contains scans.
    """
    results: list[Result] = []
    problems: list[Problem] = []
    for folder in sources:
        try:
            results.append(search(folder))
        except BadInput as error:
            problems.append(Problem("missing", str(folder), str(error)))
    if problems and not results:
        raise BadInput(problems[0].reason)
    return results, problems


def source_folders(source: Path | Sequence[Path], out: Path) -> tuple[Path, ...]:
    """Return the absolute paths of the folders to ingest.

    Raises:
        BadInput: If one is absent. Also if one contains ``out`` or is inside it, since the cohort would become its own
            source or overwrite it.
    """
    folders = tuple(Path(folder).absolute() for folder in ([source] if isinstance(source, str | Path) else source))
    for folder in folders:
        if not folder.is_dir():
            raise BadInput(f"There is no folder {folder}; expected one with scans to ingest.")
        if Path(out).resolve().is_relative_to(folder.resolve()):
            raise BadInput(f"The cohort {out} would be inside its source {folder}; name a folder outside it.")
        if folder.resolve().is_relative_to(Path(out).resolve()):
            raise BadInput(f"The source {folder} is inside the folder {out} of the cohort; name a folder outside it.")
    return folders
