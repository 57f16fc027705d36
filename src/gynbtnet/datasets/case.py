"""A case: one scan of one patient on one day, and its contours."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import Overlap


@dataclass(frozen=True)
class Source:
    """Origin of a case and digests that show a change of it; empty if the patients' key is stored separately.

    Attributes:
        ct_folder: folder of the DICOM series, or of the image file.
        series_uid: SeriesInstanceUID of the CT; None if the scan was an image file.
        rtstruct: structure set; None if the contours were image files, or if there are none.
        sha256: digest of each source by its path. The digest of a DICOM series, under its folder, covers all its files.
        synthetic: True if the source states that no real patient was scanned.
        automatic: True if GynBTNet predicted the contours and nobody has approved them.
        applicator: source of the applicator type: "table", "folder", "RTPLAN" or "RTSTRUCT"; None if it is unknown.
    """

    ct_folder: Path | None = None
    series_uid: str | None = None
    rtstruct: Path | None = None
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)
    synthetic: bool = False
    applicator: str | None = None
    automatic: bool = False


@dataclass(frozen=True)
class Case:
    """Patient, files of scan and contours, and notes of the ingestion.

    Attributes:
        patient: study ID of the patient, or the name of the image file.
        fraction: number of the fraction; 1 is the patient's first scan.
        id: identifier that is unique in a cohort and safe as a file name.
        images: one file per channel of the cohort, on one grid; the first is the CT in HU.
        labels: label map in the order of the cohort's structures; None if the scan has no contours.
        source: origin of the case.
        geometry: grid of the scan.
        volumes_cm3: volume of each structure in the source, in cm³, with the voxels that other structures have in the
            label map.
        missing: structures of the cohort that this case lacks.
        overlaps: pairs of structures that share voxels; the later one has them in the label map.
        covered: structures of which other structures have every voxel in the label map.
        masks: masks of structures that lose voxels in the label map; None if none does.
        masked: these structures, in the order of the bits in ``masks``.
        unmapped: ROI names in the source that don't map to a structure of the cohort.
        notes: choices, omissions and repairs while reading, one sentence each.
        applicator: applicator type, see :mod:`gynbtnet.datasets.ingestion.applicator`; None if it is unknown.
        position: DICOM's PatientPosition, such as "HFS"; None if the source doesn't state it.
        sha256: digest of the voxels of all channels and their grid, independent of the file format.
        interpolated: number of slices between contours that were interpolated, by structure.
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
    interpolated: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def image(self) -> Path:
        """File of the first channel."""
        return self.images[0]

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of the images, and of the label map and the masks if they exist."""
        return self.images + tuple(path for path in (self.labels, self.masks) if path)

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """Structures that the label map doesn't show: for training they are unknown, not absent."""
        return self.missing + self.covered

    @property
    def synthetic(self) -> bool:
        """True if the source states that no real patient was scanned."""
        return self.source.synthetic

    def relative_to(self, folder: Path) -> "Case":
        """Return the case with paths of images, labels and masks relative to ``folder``, as in a manifest there."""
        images = tuple(path.relative_to(folder) for path in self.images)
        labels, masks = (path and path.relative_to(folder) for path in (self.labels, self.masks))
        return replace(self, images=images, labels=labels, masks=masks)

    def below(self, folder: Path) -> "Case":
        """Return the case with paths relative to ``folder`` made absolute: the inverse of :meth:`relative_to`."""
        images = tuple(folder / path for path in self.images)
        labels, masks = (path and folder / path for path in (self.labels, self.masks))
        return replace(self, images=images, labels=labels, masks=masks)
