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
    """

    ct_folder: Path | None = None
    series_uid: str | None = None
    rtstruct: Path | None = None
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)
    synthetic: bool = False


@dataclass(frozen=True)
class Case:
    """Who was scanned, which files hold scan and contours, and what ingestion noted about them.

    Attributes:
        patient: the patient's study ID, or the name of the image file.
        fraction: 1 for the patient's first scan in time.
        id: unique in a cohort and safe as a file name.
        image: the CT in HU.
        labels: the label map in the order of the cohort's structures; None where the scan has no contours.
        source: where it came from.
        geometry: the scan's grid.
        volumes_cm3: volume of each structure that was found.
        missing: structures that the cohort asks for and this case doesn't have.
        overlaps: where two structures claimed the same voxels, and the later one got them.
        unmapped: ROI names in the source that stand for no structure of the cohort.
        notes: what was chosen, dropped or mended when it was read, a sentence each.
    """

    patient: str
    fraction: int
    id: str
    image: Path
    labels: Path | None
    source: Source
    geometry: Geometry
    volumes_cm3: Mapping[str, float] = field(default_factory=dict, hash=False)
    missing: tuple[str, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[Path, ...]:
        """One file a channel."""
        return (self.image,)

    @property
    def synthetic(self) -> bool:
        """Whether the source says that no real patient was scanned."""
        return self.source.synthetic

    def relative_to(self, folder: Path) -> "Case":
        """With the paths of image and labels relative to ``folder``, as a manifest in it has them."""
        return replace(
            self, image=self.image.relative_to(folder), labels=self.labels and self.labels.relative_to(folder)
        )

    def below(self, folder: Path) -> "Case":
        """The inverse of :meth:`relative_to`."""
        return replace(self, image=folder / self.image, labels=self.labels and folder / self.labels)
