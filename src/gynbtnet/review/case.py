"""A prediction with everything that its review shows: scan, contours, reference and dose."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.imaging.dicom.ct_series import CTSeries, read_ct_files, select_series
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.mask_folder import read_mask_folder
from gynbtnet.imaging.files.volume_files import is_image_file, read_volume
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.inference.prediction_files import LABELS_FILE, MASKS_FOLDER, RTSTRUCT_FILE
from gynbtnet.review.case_dose import find_dose
from gynbtnet.review.prediction_record import PredictionRecord, read_prediction_record
from gynbtnet.review.reference import References
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of


@dataclass(frozen=True, eq=False)
class ReviewCase:
    """A prediction in memory.

    Attributes:
        folder: folder of the prediction.
        record: record of the prediction.
        scan: first channel of the scan, HU, on its own grid.
        series: DICOM identity of the scan; None for an image file.
        automatic: predicted structures on the grid of the scan.
        reference: reference contours of the same structures; None if there are none.
        doses: dose grids in Gy whose sum is the dose; empty without a dose.
        notes: one sentence for each thing that the reviewer should know about the files.
    """

    folder: Path
    record: PredictionRecord
    scan: Volume
    series: CTSeries | None
    automatic: Segmentation
    reference: Segmentation | None = None
    doses: tuple[Volume, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the case: that of its folder."""
        return self.folder.resolve().name

    @property
    def rtstruct(self) -> Path | None:
        """RTSTRUCT of the prediction; None if it has none."""
        path = self.folder / RTSTRUCT_FILE
        return path if path.is_file() else None


def open_case(
    folder: Path, *, scan: Path | None = None, references: References | None = None, dose: Path | None = None
) -> ReviewCase:
    """Read a prediction and the scan that it was made of.

    Args:
        folder: folder that ``gynbtnet predict`` wrote.
        scan: image file, or folder that is searched for the scan; None: its path when it was predicted.
        references: reference contours of evaluated cases.
        dose: RTDOSE or dose image in Gy, or folder that is searched for the RTDOSE of the scan. None: RTDOSEs of the
            scan in or next to the scan's own folder.

    Returns:
        The case.

    Raises:
        BadInput: If the folder holds no prediction, or the scan is absent or has changed since, or a file is damaged.
    """
    record = read_prediction_record(folder)
    path = _scan_path(folder, record, scan, references)
    volume, series = _read_scan(record, folder, path)
    automatic = _read_contours(folder, record, series)
    grid = automatic.labels.geometry
    if not volume.geometry.is_same(grid):
        raise BadInput(
            f"The contours in {folder} aren't on the grid of the scan, {volume.geometry.difference(grid)}; predict the "
            "scan again."
        )
    doses, notes = find_dose(dose, path if series is not None else None, series)
    reference = references.of(folder.resolve().name, record, volume.geometry) if references else None
    return ReviewCase(folder, record, volume, series, automatic, reference, doses, notes)


def _scan_path(folder: Path, record: PredictionRecord, given: Path | None, references: References | None) -> Path:
    """Return the path to search for the scan: the given one, that of the prediction, or the case's image."""
    path = given or (record.scan.path if record.scan else None)
    if path is not None and path.exists():
        return path
    case = references.case(folder.resolve().name, record) if references and given is None else None
    if case is not None and record.input.kind != "DICOM" and case.image.is_file():
        return case.image
    where = "is not recorded" if path is None else f"was {path}, which no longer exists"
    raise BadInput(f"The scan of {folder} {where}; give its folder or file with --scan.")


def _read_scan(record: PredictionRecord, folder: Path, path: Path) -> tuple[Volume, CTSeries | None]:
    """Read the scan of a prediction, after checking that its files are those that were predicted."""
    channels: Sequence[Path] = record.scan.channels if record.scan else ()
    absent = next((channel for channel in channels if not channel.is_file()), None)
    if absent is not None:
        raise BadInput(
            f"A channel of the scan of {folder} was {absent}, which no longer exists; put it back, or predict the scan "
            "again."
        )
    if record.input.kind == "DICOM":
        found, _ = select_series(path, record.input.series_uid)
        series = read_ct_files(found.files, record.scan.repairs if record.scan else Repairs())
        files, volume = series.files, series.volume
    else:
        series = None
        image = path if path.is_file() else _image_with_digest(path, record, channels)
        files, volume = (image,), read_volume(image)
    if sha256_of(*files, *channels) != record.input.sha256:
        raise BadInput(
            f"The scan in {path} isn't the one that {folder} was predicted from, or it has changed since; give the "
            "right one with --scan, or predict it again."
        )
    return volume, series


def _image_with_digest(folder: Path, record: PredictionRecord, channels: Sequence[Path]) -> Path:
    for path in files_below(folder):
        if is_image_file(path) and path.is_file() and sha256_of(path, *channels) == record.input.sha256:
            return path
    raise BadInput(f"{folder} doesn't hold the image that was predicted; give its file with --scan.")


def _read_contours(folder: Path, record: PredictionRecord, series: CTSeries | None) -> Segmentation:
    """Read the predicted structures from the most exact file."""
    if (folder / LABELS_FILE).is_file():
        labels = as_whole_labels(read_volume(folder / LABELS_FILE), folder / LABELS_FILE)
        try:
            return Segmentation(labels, record.structures)
        except ValueError as error:
            raise BadInput(f"{folder / LABELS_FILE}: {error}; predict the scan again.") from error
    if (folder / MASKS_FOLDER).is_dir():
        return read_mask_folder(folder / MASKS_FOLDER, record.structures)
    if series is not None and (folder / RTSTRUCT_FILE).is_file():
        segmentation, _ = read_rtstruct(folder / RTSTRUCT_FILE, series, record.structures, StructureNames.load())
        return segmentation
    raise BadInput(
        f"{folder} has no contours to review; expected {LABELS_FILE}, {MASKS_FOLDER} or {RTSTRUCT_FILE}: predict the "
        "scan with --output nifti."
    )
