"""Scans with a planted failure, made from a local scan or from the phantom. All of them are synthetic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import UID

from gynbtnet.imaging.dicom.ct_writer import write_ct_series
from gynbtnet.imaging.files.volume_files import read_volume, write_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.imaging.volume import Volume
from gynbtnet.phantom.case import pelvic_geometry, phantom_case
from gynbtnet.phantom.unusual_cases import male_pelvis, vaginal_cylinder

FINEST_MM = 3.0
"""Finest spacing of the phantom."""
EXTENT_MM = (192.0, 288.0, 384.0)
"""Extent of the phantom along (z, y, x)."""
SEED = 2_026
"""Seed of the phantom: patients that no training of the shipped recipes draws."""
_MR_IMAGE = UID("1.2.840.10008.5.1.4.1.1.4")
_LOST_SLICES = 3
_HU = (-1000, -200, -104, 0, 60, 300, 1000)
_MR_SIGNAL = (0, 20, 600, 500, 220, 120, 40)  # as in a T2-weighted image: fat and urine bright, bone and air dark


@dataclass(frozen=True)
class PlantedScan:
    """A scan with a planted failure.

    Attributes:
        name: name of its folder.
        planted: the failure, for people.
        origin: "local" if it is a changed local scan, otherwise "phantom".
        write: writes the scan into a folder and returns the path for a prediction.
    """

    name: str
    planted: str
    origin: str
    write: Callable[[Path], Path]


def local_scans(image: Path) -> tuple[PlantedScan, ...]:
    """Return the planted failures of a local scan.

    Args:
        image: first channel of the scan.
    """
    return (
        PlantedScan(
            "mirrored",
            "A local scan, left and right exchanged, as with a wrong orientation in its header.",
            "local",
            lambda folder: _as_image(_mirrored(read_volume(image)), folder),
        ),
        PlantedScan(
            "missing_slices",
            f"A local scan as DICOM without {_LOST_SLICES} slices in its middle.",
            "local",
            lambda folder: _without_slices(read_volume(image), folder),
        ),
        PlantedScan(
            "hu_1024_too_high",
            "A local scan with all values 1,024 too high, as without its rescale intercept.",
            "local",
            lambda folder: _as_image(_shifted(read_volume(image)), folder),
        ),
    )


def phantom_scans(spacing: Sequence[float]) -> tuple[PlantedScan, ...]:
    """Return the planted failures of the phantom; the first one is the control without a failure.

    Args:
        spacing: spacing of a local scan (z, y, x) in mm; the phantom is at most as fine as ``FINEST_MM``.
    """
    z, y, x = (max(FINEST_MM, step) for step in spacing)
    grid = pelvic_geometry((z, y, x), (round(EXTENT_MM[0] / z), round(EXTENT_MM[1] / y), round(EXTENT_MM[2] / x)))

    @cache
    def woman() -> Volume:
        return phantom_case(SEED, 0, 0, grid).scan

    return (
        PlantedScan(
            "phantom_control",
            "The phantom without a failure: a female pelvis with tandem and ovoids.",
            "phantom",
            lambda folder: _as_image(woman(), folder),
        ),
        PlantedScan(
            "mr_dicom",
            "An MR of the phantom as DICOM with the modality MR.",
            "phantom",
            lambda folder: _as_mr_series(_mr(woman()), folder),
        ),
        PlantedScan(
            "mr_image",
            "The same MR as an image file, which has no modality.",
            "phantom",
            lambda folder: _as_image(_mr(woman()), folder),
        ),
        PlantedScan(
            "male_pelvis",
            "A male pelvis: the phantom with a prostate, without uterus, vagina and applicator.",
            "phantom",
            lambda folder: _as_image(male_pelvis(SEED, grid), folder),
        ),
        PlantedScan(
            "other_applicator",
            "An applicator of another kind: the phantom with a vaginal cylinder, without tandem.",
            "phantom",
            lambda folder: _as_image(vaginal_cylinder(SEED, grid), folder),
        ),
    )


def _mirrored(scan: Volume) -> Volume:
    axis = _left_right_axis(scan.geometry)
    return Volume(np.flip(scan.array, axis), scan.geometry)


def _left_right_axis(geometry: Geometry) -> int:
    """Return the axis (0 is z) that runs most nearly between left and right."""
    return reorientation_to_lps(geometry).order[2]


def _shifted(scan: Volume) -> Volume:
    return Volume(scan.array.astype(np.int32) + 1024, scan.geometry)


def _mr(scan: Volume) -> Volume:
    return Volume(np.interp(scan.array, _HU, _MR_SIGNAL).astype(np.int16), scan.geometry)


def _as_image(scan: Volume, folder: Path) -> Path:
    path = folder / "scan.nii.gz"
    write_volume(Volume(np.rint(scan.array).astype(np.int32), scan.geometry), path)
    return path


def _as_series(scan: Volume, folder: Path, description: str) -> tuple[Path, ...]:
    series = write_ct_series(
        scan,
        folder,
        patient_id="PLANTED",
        study_description="SYNTHETIC planted failure",
        series_description=f"SYNTHETIC {description}",
        seed=SEED,
    )
    return series.files


def _without_slices(scan: Volume, folder: Path) -> Path:
    path = folder / "scan"
    files = _as_series(scan, path, "missing slices")
    middle = len(files) // 2
    for lost in files[middle : middle + _LOST_SLICES]:
        lost.unlink()
    return path


def _as_mr_series(scan: Volume, folder: Path) -> Path:
    path = folder / "scan"
    for file in _as_series(scan, path, "MR"):
        image = pydicom.dcmread(file)
        image.Modality = "MR"
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = _MR_IMAGE
        image.save_as(file)
    return path
