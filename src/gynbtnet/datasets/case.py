"""One scan of one patient on one day, and its contours."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import Overlap


@dataclass(frozen=True)
class Source:
    """Where a case came from, and how to notice that it has changed; empty where the patients' key is kept apart.

    Attributes:
        ct_folder: the folder of the DICOM series, or of the image file.
        series_uid: the CT's SeriesInstanceUID; None where the scan was an image file.
        rtstruct: the structure set; None where the contours were image files, or none.
        sha256: digest of each source by its path; the digest of a DICOM series, under its folder, is over its files'.
        synthetic: whether the source says that no real patient was scanned.
        applicator: who says which applicator is in place: "table", "folder", "RTPLAN" or "RTSTRUCT"; None where none.
    """

    ct_folder: Path | None = None
    series_uid: str | None = None
    rtstruct: Path | None = None
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)
    synthetic: bool = False
    applicator: str | None = None


@dataclass(frozen=True)
class Case:
    """Who was scanned, which files hold scan and contours, and what ingestion noted about them.

    Attributes:
        patient: the patient's study ID, or the name of the image file.
        fraction: 1 for the patient's first scan in time.
        id: unique in a cohort and safe as a file name.
        images: one file a channel of the cohort, on one grid; the first is the CT in HU.
        labels: the label map in the order of the cohort's structures; None where the scan has no contours.
        source: where it came from.
        geometry: the scan's grid.
        volumes_cm3: volume of each structure that was found, as it was drawn.
        missing: structures that the cohort asks for and this case doesn't have.
        overlaps: where two structures cover the same voxels, and the later one has them in the label map.
        covered: structures that were drawn, and of which other structures have every voxel in the label map.
        masks: the drawn masks of structures that lose voxels in the label map; None if none does.
        masked: these structures, in the order of the bits in ``masks``.
        unmapped: ROI names in the source that stand for no structure of the cohort.
        notes: what was chosen, dropped or mended when it was read, a sentence each.
        applicator: its type, see :mod:`gynbtnet.datasets.ingestion.applicator`; None where nobody says it.
        position: how the patient lay, as DICOM's PatientPosition, such as "HFS"; None where the source doesn't say.
        sha256: digest of the voxels of all channels and their grid, whatever file they came in.
    """

    patient: str
    fraction: int
    id: str
    images: tuple[Path, ...]
    labels: Path | None
    source: Source
    geometry: Geometry
    volumes_cm3: Mapping[str, float] = field(default_factory=dict, hash=False)
    missing: tuple[str, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    applicator: str | None = None
    position: str | None = None
    sha256: str = ""
    covered: tuple[str, ...] = ()
    masks: Path | None = None
    masked: tuple[str, ...] = ()

    @property
    def image(self) -> Path:
        """The first channel."""
        return self.images[0]

    @property
    def files(self) -> tuple[Path, ...]:
        """The images, and the label map and the drawn masks where there are any."""
        return self.images + tuple(path for path in (self.labels, self.masks) if path)

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """Structures of which the label map says nothing: unknown to whoever learns from it, not absent."""
        return self.missing + self.covered

    @property
    def synthetic(self) -> bool:
        """Whether the source says that no real patient was scanned."""
        return self.source.synthetic

    def relative_to(self, folder: Path) -> "Case":
        """With the paths of images, labels and masks relative to ``folder``, as a manifest in it has them."""
        images = tuple(path.relative_to(folder) for path in self.images)
        labels, masks = (path and path.relative_to(folder) for path in (self.labels, self.masks))
        return replace(self, images=images, labels=labels, masks=masks)

    def below(self, folder: Path) -> "Case":
        """The inverse of :meth:`relative_to`."""
        images = tuple(folder / path for path in self.images)
        labels, masks = (path and folder / path for path in (self.labels, self.masks))
        return replace(self, images=images, labels=labels, masks=masks)
