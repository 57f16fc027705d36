"""Input of a prediction: the files of a scan, and the scan in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.ingestion.synthetic_flag import dicom_is_synthetic, image_is_synthetic
from gynbtnet.imaging.dicom.ct_series import CTSeries, read_ct_files, select_series
from gynbtnet.imaging.dicom.objects import lenient_pydicom, read_header
from gynbtnet.imaging.dicom.series import FoundSeries, search_series
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.files.volume_files import SUFFIXES, is_image_file, read_volume
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.scans.channel_files import find_further_channels
from gynbtnet.inference.scans.scan_check import check_scan
from gynbtnet.preparation.planning.plan import CT
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of


@dataclass(frozen=True)
class ScanFiles:
    """Files of a scan that is not read yet.

    Attributes:
        path: image file, or folder of a DICOM series.
        series: the series; None for an image file.
        channels: image files of the channels after the first.
        note: reason why this series was selected among several; None if there was no choice.
        warnings: one sentence for each property of the files that may impair the prediction.
        name: id of the case, if the scan is one of a cohort; otherwise None.
        synthetic: the cohort states that no real patient was scanned.
    """

    path: Path
    series: FoundSeries | None
    channels: tuple[Path, ...] = ()
    note: str | None = None
    warnings: tuple[str, ...] = ()
    name: str | None = None
    synthetic: bool = False


@dataclass(frozen=True)
class ScanInput:
    """A scan in memory.

    Attributes:
        volumes: one volume per channel.
        series: DICOM identity of the first channel; None for an image file.
        sha256: SHA-256 over all files of the scan.
        synthetic: the scan is marked as synthetic: no real patient was scanned.
        notes: one sentence for each selection, omission or repair while the scan was read.
        warnings: one sentence for each property of the scan that may impair the prediction.
    """

    volumes: tuple[Volume, ...]
    series: CTSeries | None
    sha256: str
    synthetic: bool
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def locate_scan(
    path: Path, channels: Sequence[str], *, given: Sequence[Path] = (), series_uid: str | None = None
) -> ScanFiles:
    """Return the files of the one scan at a path.

    Args:
        path: image file, or folder of a DICOM CT series.
        channels: channels of the model.
        given: image files of the channels after the first, see :func:`find_further_channels`.
        series_uid: SeriesInstanceUID if the folder contains several series. None: the series that a structure set
            refers to, otherwise the largest axial one, with a note.

    Returns:
        The files, and a note if a series was selected.

    Raises:
        BadInput: If there is no such scan, or there isn't one file per channel.
    """
    if path.is_file() and not is_image_file(path):
        raise BadInput(
            f"{path} is not an image file ({', '.join(SUFFIXES)}); for a DICOM series give the folder, not one slice."
        )
    further = find_further_channels(path, given, channels)
    if path.is_file():
        return ScanFiles(path, None, further)
    images = sorted(file for file in path.glob("*") if is_image_file(file))
    if images and not search_series(path).series:
        raise BadInput(
            f"{path} is a folder of image files without DICOM; give the file of the scan ({images[0].name}?)."
        )
    series, note = select_series(path, series_uid)
    return ScanFiles(path, series, further, note)


def read_scan(
    files: ScanFiles, channels: Sequence[str], repairs: Repairs | None = None, *, check: bool = True
) -> ScanInput:
    """Read a scan, and check its CT.

    Args:
        files: files of the scan.
        channels: channels of the model.
        repairs: flaws of a DICOM series that are repaired instead of refused.
        check: run :func:`~gynbtnet.inference.scans.scan_check.check_scan` on the CT.

    Returns:
        The channels on the grid of the CT, the CT's series, digests and notes.

    Raises:
        BadInput: If a file can't be read, the slices are not a regular stack, or the check refuses the CT.
    """
    own: tuple[Path, ...] = (files.path,)
    series, agent = None, ""
    if files.series is None:
        first = read_volume(files.path)
        synthetic = image_is_synthetic(files.path, files.path.parent)
    else:
        series = read_ct_files(files.series.files, repairs)
        first, own = series.volume, series.files
        with lenient_pydicom():
            header = read_header(series.files[0], "a CT slice")
            synthetic = dicom_is_synthetic(header)
            agent = str(header.get("ContrastBolusAgent", "") or "")
    warnings = check_scan(first, str(files.path), agent) if check and channels[0].casefold() == CT else ()
    return ScanInput(
        volumes=(first, *(read_volume(path) for path in files.channels)),
        series=series,
        sha256=sha256_of(*own, *files.channels),
        synthetic=synthetic or files.synthetic,
        notes=(*([files.note] if files.note else []), *(series.notes if series else ())),
        warnings=(*files.warnings, *warnings),
    )
