"""Reading of single scans as cases of a cohort: images, labels and notes."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.hounsfield_units import describe_wrong_values
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
"""Folder of the masks of overlapping structures in a cohort."""

_REMEDY = (
    "or keep them as they are drawn: ingest with --allow-overlap and plan with outputs: overlapping; `gynbtnet run` "
    "and `benchmark` do both with --set task.plan.outputs=overlapping"
)
"""Way out for overlaps that are intended."""


@dataclass(frozen=True)
class ReadCase:
    """A case and its voxels, before they are written."""

    case: Case
    images: tuple[Volume, ...]
    segmentation: Segmentation | None


@dataclass(frozen=True)
class ScanReader:
    """Reader of the scans of one source as cases of one cohort.

    Attributes:
        found_scans: description of the source by its adapter, without its scans.
        out: folder of the cohort.
        record_source: store the origin of each case.
        resample_channels, allow_overlap, priority: see
            :func:`~gynbtnet.datasets.ingestion.ingest_found.ingest_found`.
    """

    found_scans: FoundScans
    out: Path
    record_source: bool
    resample_channels: bool
    allow_overlap: bool
    priority: tuple[str, ...]

    @classmethod
    def create(
        cls,
        found_scans: FoundScans,
        out: Path,
        key: PatientKey,
        *,
        resample_channels: bool,
        allow_overlap: bool,
        priority: Sequence[str],
    ) -> "ScanReader":
        """Return the reader of a source, small enough to be sent to every process with every scan.

        Raises:
            BadInput: If ``priority`` names a structure that the cohort won't have, or one twice.
        """
        unknown = next((name for name in priority if name not in found_scans.structures), None)
        if unknown is not None or len(set(priority)) < len(priority):
            raise BadInput(
                f"The priority is {', '.join(priority)}; expected some of the structures "
                f"{', '.join(found_scans.structures)}, each once."
            )
        description = replace(found_scans, scans=(), problems=())
        out, priority = Path(out).absolute(), tuple(priority)
        return cls(description, out, not key.separate, resample_channels, allow_overlap, priority)

    def read(self, numbered: NumberedScan, digests: Mapping[str, str]) -> ReadCase | Problem:
        """Return the case with its voxels, or the reason why there is none.

        Args:
            numbered: the scan.
            digests: SHA-256 of its files by their paths.
        """
        scan = numbered.scan
        try:
            contents = self.found_scans.read(scan).with_priority(self.priority)
            channels, notes = self._channels(contents, scan)
            losses = contents.losses
            if not self.allow_overlap and not self.found_scans.has_regions:
                check_losses(losses, remedy=_REMEDY)
        except BadInput as error:
            if str(scan.folder) not in str(error):
                error_type = type(error)
                error = error_type(f"In {scan.folder}: {error}")
            return Problem.from_error(error, scan.path)
        except Exception as error:  # a problem with one scan must not stop the others
            return Problem("unreadable", str(scan.path), f"In {scan.path}: {failure_reason(error)}")
        notes += [loss.in_cohort for loss in losses]
        notes += [
            f"Its CT {problem}"
            for name, volume in zip(self.found_scans.channels, channels, strict=True)
            if name.casefold() == "ct" and (problem := describe_wrong_values(volume.array))
        ]
        return self._case(numbered, contents, channels, (*numbered.notes, *notes), digests)

    def _channels(self, contents: ScanContents, scan: FoundScan) -> tuple[list[Volume], list[str]]:
        """Return all channels of a scan on the grid of the first, with notes on those that were resampled."""
        further = [*contents.channels, *(read_volume(path) for path in scan.channels)]
        images, notes = [contents.image], []
        for name, volume in zip(self.found_scans.channels[1:], further, strict=True):
            if not contents.image.geometry.is_same(volume.geometry):
                if not self.resample_channels:
                    raise LabelMismatch(
                        f"The {name} of the scan in {scan.folder} is on another grid, "
                        f"{contents.image.geometry.difference(volume.geometry)}; register it to the scan, and resample "
                        "it with --resample-channels."
                    )
                volume = resample_image(volume, contents.image.geometry)
                notes.append(f"Resampled its {name} onto the grid of its {self.found_scans.channels[0]}.")
            images.append(replace(volume, geometry=contents.image.geometry))
        return images, notes

    def _case(
        self,
        numbered: NumberedScan,
        contents: ScanContents,
        channels: Sequence[Volume],
        notes: Iterable[str],
        digests: Mapping[str, str],
    ) -> ReadCase:
        """Return the case of a scan that was read."""
        scan, segmentation = numbered.scan, contents.segmentation
        masks = segmentation.own if isinstance(segmentation, OverlappingSegmentation) else None
        images = [_compact(volume) for volume in channels]
        source = _source(scan, digests) if self.record_source else Source()
        case = Case(
            patient=scan.patient,
            fraction=numbered.fraction,
            id=numbered.id,
            images=tuple(self.out / "imagesTr" / f"{numbered.id}_{i:04d}.nii.gz" for i in range(len(images))),
            labels=self.out / "labelsTr" / f"{numbered.id}.nii.gz" if segmentation else None,
            source=replace(
                source, synthetic=scan.synthetic, applicator=scan.applicator_source, automatic=scan.automatic
            ),
            geometry=contents.image.geometry,
            volumes_cm3=_volumes_cm3(segmentation, contents.missing) if segmentation else {},
            missing=contents.missing,
            overlaps=contents.overlaps,
            covered=tuple(loss.structure for loss in contents.losses if loss.covered),
            masks=self.out / MASKS / f"{numbered.id}.nii.gz" if masks else None,
            masked=masks.structures if masks else (),
            unmapped=contents.unmapped,
            notes=(*contents.notes, *notes),
            applicator=scan.applicator,
            position=scan.position,
            sha256=_voxel_digest(images),
            interpolated=dict(contents.interpolated),
        )
        return ReadCase(case, tuple(images), segmentation)


def _source(scan: FoundScan, digests: Mapping[str, str]) -> Source:
    """Return the source of a scan: the one that its dataset records, or the files that were ingested."""
    if scan.origin is not None:
        return replace(scan.origin, sha256={**scan.origin.sha256, **digests})
    return Source(scan.folder, scan.series_uid, scan.rtstruct, digests)


def _volumes_cm3(segmentation: Segmentation, missing: tuple[str, ...]) -> dict[str, float]:
    """Return the volume of each structure that is not missing, with the voxels that it loses to others."""
    volumes = segmentation.volumes_cm3().items()
    return {structure: round(volume, 4) for structure, volume in volumes if structure not in missing}


def _compact(volume: Volume) -> Volume:
    """Return HU as int16 if they are whole numbers within its range, otherwise as float32."""
    array = volume.array
    limits = np.iinfo(np.int16)
    fits = limits.min <= array.min() and array.max() <= limits.max
    is_whole = array.dtype.kind in "iu" or bool((array == np.rint(array)).all())
    return replace(volume, array=array.astype(np.int16 if fits and is_whole else np.float32, copy=False))


def _voxel_digest(images: Sequence[Volume]) -> str:
    """Return a digest that is equal for equal voxels on equal grids (to 0.01 mm), in any file format."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(str([round(spacing, 2) for spacing in image.geometry.spacing]).encode())
        digest.update(str((image.geometry.shape, image.array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(image.array).data)
    return digest.hexdigest()
