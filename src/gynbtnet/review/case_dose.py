"""Dose of a case: its files, and how its metrics change with an edit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.evaluation.dose.dvh import DoseVolumeHistogram, dose_volume_histogram
from gynbtnet.evaluation.dose.files import read_dose
from gynbtnet.evaluation.dose.metrics import dose_metric, dose_metric_names
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.rt.dose_of_scan import doses_of_scan
from gynbtnet.imaging.dicom.series import search_series_in
from gynbtnet.imaging.file_search import files_below, files_beside, first_files_beside
from gynbtnet.imaging.files.volume_files import is_image_file
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class DoseChange:
    """A dose-volume metric before and after an edit.

    Attributes:
        metric: name of the metric, such as "D2cc".
        before_gy: dose in the predicted contour, Gy; None if undefined.
        after_gy: dose in the edited contour, Gy; None if undefined.
        difference_gy: after minus before, Gy; None if one of them is undefined.
        note: restriction of the values; otherwise empty.
    """

    metric: str
    before_gy: float | None
    after_gy: float | None
    difference_gy: float | None
    note: str


def find_dose(
    given: Path | None, scan_folder: Path | None, series: CTSeries | None
) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    """Return the dose grids of a scan, and notes.

    Args:
        given: RTDOSE or dose image in Gy, or folder that is searched for RTDOSEs; None: look in the scan's
            folder, and next to it.
        scan_folder: folder of the DICOM scan; None for an image file.
        series: DICOM identity of the scan; None for an image file.

    Raises:
        BadInput: If a given dose is absent, damaged or of another scan.
    """
    if given is not None and given.is_file() and is_image_file(given):
        return read_dose([given]), ()
    root = given if given is not None else scan_folder
    if root is None:
        return (), ()
    if not root.exists():
        raise BadInput(f"There is no {root}; expected an RTDOSE, an image of the dose in Gy, or a folder.")
    if series is None:
        raise BadInput(f"{root} is not an image file; without a DICOM scan, give the dose as an image in Gy.")
    try:
        files = _rtdoses([root] if root.is_file() else files_below(root), series)
        if not files and given is None:
            near = sorted({*files_beside(root), *first_files_beside(root)})  # also scans that share the frame
            files = _rtdoses(near, series)
        if not files and given is not None:
            raise BadInput(
                f"{given} has no RTDOSE in the frame of reference of the scan; give the dose of this scan. If the "
                "files have no frame, their patient or study must be the same."
            )
        return (read_dose(files) if files else ()), ()
    except BadInput as error:
        if given is not None:
            raise
        return (), (f"The dose isn't shown. {error} Or give one with --dose.",)


def _rtdoses(files: Sequence[Path], series: CTSeries) -> tuple[Path, ...]:
    """Return the RTDOSEs of a scan among some files, sorted."""
    found = search_series_in(files).series
    scans = [other for other in found if other.modality == "CT"]
    return doses_of_scan(series, [other for other in found if other.modality == "RTDOSE"], scans)


def structure_dose(mask: Mask, geometry: Geometry, doses: Sequence[Volume]) -> DoseVolumeHistogram:
    """Return the dose-volume histogram of a structure (z, y, x)."""
    box = bounding_box(mask) or (slice(0, 1),) * 3
    return dose_volume_histogram(mask[box], geometry.cropped(box), doses)


def dose_changes(
    structure: str, before: DoseVolumeHistogram, after: DoseVolumeHistogram, names: StructureNames
) -> tuple[DoseChange, ...]:
    """Return the metrics that are reported for a structure, before and after an edit."""
    changes = []
    for metric in dose_metric_names(structure, names):
        old, new = dose_metric(metric, before), dose_metric(metric, after)
        values = [None if math.isnan(value.dose_gy) else round(value.dose_gy, 4) for value in (old, new)]
        difference = None if None in values else round(new.dose_gy - old.dose_gy, 4)
        changes.append(DoseChange(metric, values[0], values[1], difference, new.note or old.note))
    return tuple(changes)
