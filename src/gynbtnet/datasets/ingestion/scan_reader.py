"""One scan of a source, read as a case of a cohort: its images, its labels, and what is noted about them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents
from gynbtnet.datasets.ingestion.integrity import LabelMismatch, Problem
from gynbtnet.datasets.ingestion.scan_numbering import NumberedScan
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.overlap_losses import check_losses
from gynbtnet.imaging.resample_to_grid import resample_image
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.parallel import failure_reason

MASKS = "masksTr"
"""Folder of the drawn masks of a cohort."""


@dataclass(frozen=True)
class ReadCase:
    """A case and its voxels, before they are written."""

    case: Case
    images: tuple[Volume, ...]
    segmentation: Segmentation | None


@dataclass(frozen=True)
class ScanReader:
    """Reads the scans of one source as cases of one cohort.

    Attributes:
        found: what the adapter found, without its scans.
        out: folder of the cohort.
        keeps_source: whether cases say where they came from.
        resample_channels, allow_overlap: see :func:`ingest_found`.
    """

    found: FoundScans
    out: Path
    keeps_source: bool
    resample_channels: bool
    allow_overlap: bool

    @classmethod
    def of(
        cls, found: FoundScans, out: Path, key: PatientKey, *, resample_channels: bool, allow_overlap: bool
    ) -> "ScanReader":
        """The reader of a source, small enough to go to every process with every scan."""
        how = replace(found, scans=(), problems=())
        return cls(how, Path(out).absolute(), not key.apart, resample_channels, allow_overlap)

    def read(self, one: NumberedScan, digests: Mapping[str, str]) -> ReadCase | Problem:
        """The case with its voxels, or why there is none.

        Args:
            one: the scan.
            digests: of its files, by their places.
        """
        scan = one.scan
        try:
            contents = self.found.read(scan)
            channels, notes = self._channels(contents, scan)
            losses = contents.losses
            if not self.allow_overlap:
                check_losses(losses)
        except BadInput as error:
            if str(scan.folder) not in str(error):
                kind = type(error)
                error = kind(f"In {scan.folder}: {error}")
            return Problem.of(error, scan.place)
        except Exception as error:  # whatever is wrong with one scan, the others are read
            return Problem("unreadable", str(scan.place), f"In {scan.place}: {failure_reason(error)}")
        return self._case(one, contents, channels, (*notes, *(loss.in_cohort for loss in losses)), digests)

    def _channels(self, contents: ScanContents, scan: FoundScan) -> tuple[list[Volume], list[str]]:
        """All images of a scan on the grid of the first."""
        further = [*contents.channels, *(read_volume(path) for path in scan.channels)]
        images, notes = [contents.image], []
        for name, volume in zip(self.found.channels[1:], further, strict=True):
            if not contents.image.geometry.is_same(volume.geometry):
                if not self.resample_channels:
                    raise LabelMismatch(
                        f"The {name} of the scan in {scan.folder} lies on another grid, "
                        f"{contents.image.geometry.difference(volume.geometry)}; register it to the scan, and have it "
                        "brought onto that grid with --resample-channels."
                    )
                volume = resample_image(volume, contents.image.geometry)
                notes.append(f"Resampled its {name} onto the grid of its {self.found.channels[0]}.")
            images.append(replace(volume, geometry=contents.image.geometry))
        return images, notes

    def _case(
        self,
        one: NumberedScan,
        contents: ScanContents,
        channels: Sequence[Volume],
        notes: Iterable[str],
        digests: Mapping[str, str],
    ) -> ReadCase:
        scan, segmentation = one.scan, contents.segmentation
        own = segmentation.own if isinstance(segmentation, OverlappingSegmentation) else None
        images = [_compact(volume) for volume in channels]
        source = Source(scan.folder, scan.series_uid, scan.rtstruct, digests) if self.keeps_source else Source()
        case = Case(
            patient=scan.patient,
            fraction=one.fraction,
            id=one.id,
            images=tuple(self.out / "imagesTr" / f"{one.id}_{i:04d}.nii.gz" for i in range(len(images))),
            labels=self.out / "labelsTr" / f"{one.id}.nii.gz" if segmentation else None,
            source=replace(source, synthetic=scan.synthetic, applicator=scan.applicator_by),
            geometry=contents.image.geometry,
            volumes_cm3=_volumes(segmentation, contents.missing) if segmentation else {},
            missing=contents.missing,
            overlaps=contents.overlaps,
            covered=tuple(loss.structure for loss in contents.losses if loss.covered),
            masks=self.out / MASKS / f"{one.id}.nii.gz" if own else None,
            masked=own.structures if own else (),
            unmapped=contents.unmapped,
            notes=(*contents.notes, *notes),
            applicator=scan.applicator,
            position=scan.position,
            sha256=_voxel_digest(images),
        )
        return ReadCase(case, tuple(images), segmentation)


def _volumes(segmentation: Segmentation, missing: tuple[str, ...]) -> dict[str, float]:
    volumes = segmentation.volumes_cm3().items()
    return {structure: round(volume, 4) for structure, volume in volumes if structure not in missing}


def _compact(volume: Volume) -> Volume:
    """HU as int16 where they are whole numbers within its range, otherwise as float32."""
    array = volume.array
    limits = np.iinfo(np.int16)
    fits = limits.min <= array.min() and array.max() <= limits.max
    whole = array.dtype.kind in "iu" or bool((array == np.rint(array)).all())
    return replace(volume, array=array.astype(np.int16 if fits and whole else np.float32, copy=False))


def _voxel_digest(images: Sequence[Volume]) -> str:
    """The same for the same voxels on the same grid to 0.01 mm, in whatever file they came."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(str([round(spacing, 2) for spacing in image.geometry.spacing]).encode())
        digest.update(str((image.geometry.shape, image.array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(image.array).data)
    return digest.hexdigest()
