"""A scan that is to be contoured: where it lies, and what is read of it."""

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
    """A scan on disk, not read yet.

    Attributes:
        place: the image file, or the folder of a DICOM series.
        series: the series; None for an image file.
        channels: image files of the channels after the first.
        note: why this series was chosen among several.
        warnings: what was seen already that may spoil its contours, a sentence each.
    """

    place: Path
    series: FoundSeries | None
    channels: tuple[Path, ...] = ()
    note: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScanInput:
    """A scan as it was read.

    Attributes:
        volumes: one a channel.
        series: the DICOM identity of the first; None for an image file.
        sha256: over all its files.
        synthetic: whether it says itself that no real patient was scanned.
        notes: what was chosen, dropped or mended in reading it, a sentence each.
        warnings: what may spoil its contours, a sentence each.
    """

    volumes: tuple[Volume, ...]
    series: CTSeries | None
    sha256: str
    synthetic: bool
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def locate_scan(
    place: Path, channels: Sequence[str], *, given: Sequence[Path] = (), series_uid: str | None = None
) -> ScanFiles:
    """The one scan at a place.

    Args:
        place: an image file, or a folder with a DICOM CT series.
        channels: what the model reads.
        given: image files of the channels after the first, see :func:`find_further_channels`.
        series_uid: which series, where the folder holds several; left out, the one that contours refer to, or the
            largest axial one, with a note.

    Raises:
        BadInput: where there is no such scan, or not one file a channel.
    """
    if place.is_file() and not is_image_file(place):
        raise BadInput(
            f"{place} is no image file ({', '.join(SUFFIXES)}); of a DICOM series give the folder, not one slice."
        )
    further = find_further_channels(place, given, channels)
    if place.is_file():
        return ScanFiles(place, None, further)
    images = sorted(path for path in place.glob("*") if is_image_file(path))
    if images and not search_series(place).series:
        raise BadInput(
            f"{place} is a folder of image files without DICOM; give the file that holds the scan ({images[0].name}?)."
        )
    series, note = select_series(place, series_uid)
    return ScanFiles(place, series, further, note)


def read_scan(
    files: ScanFiles, channels: Sequence[str], repairs: Repairs | None = None, *, check: bool = True
) -> ScanInput:
    """Read a scan, and see that its CT is one that can be contoured.

    Args:
        files: where it lies.
        channels: what the model reads.
        repairs: which flaws of a series to mend instead of refusing it.
        check: whether :func:`check_scan` has a say.

    Raises:
        BadInput: where a file can't be read, the slices are no regular stack, or :func:`check_scan` refuses the CT.
    """
    own: tuple[Path, ...] = (files.place,)
    series, agent = None, ""
    if files.series is None:
        first = read_volume(files.place)
        synthetic = image_is_synthetic(files.place, files.place.parent)
    else:
        series = read_ct_files(files.series.files, repairs)
        first, own = series.volume, series.files
        with lenient_pydicom():
            header = read_header(series.files[0], "a CT slice")
            synthetic = dicom_is_synthetic(header)
            agent = str(header.get("ContrastBolusAgent", "") or "")
    warnings = check_scan(first, str(files.place), agent) if check and channels[0].casefold() == CT else ()
    return ScanInput(
        volumes=(first, *(read_volume(path) for path in files.channels)),
        series=series,
        sha256=sha256_of(*own, *files.channels),
        synthetic=synthetic,
        notes=(*([files.note] if files.note else []), *(series.notes if series else ())),
        warnings=(*files.warnings, *warnings),
    )
