"""CT series in a folder tree as scans to ingest."""

import os
from pathlib import Path

import pydicom

from gynbtnet.datasets.ingestion import FoundScan, natural_order
from gynbtnet.datasets.synthetic_marks import dicom_is_synthetic
from gynbtnet.imaging.dicom_objects import lenient
from gynbtnet.imaging.dicom_series import FoundSeries

_DATES = ("StudyDate", "StudyTime", "SeriesDate", "SeriesTime")
_DESCRIPTIONS = ("StudyDescription", "SeriesDescription")


def dicom_scan(series: FoundSeries) -> FoundScan:
    """A CT series as a scan: its patient by PatientID, its time by study, series and, failing these, folder."""
    with lenient():
        header = pydicom.dcmread(series.files[0], stop_before_pixels=True, specific_tags=[*_DATES, *_DESCRIPTIONS])
        dates = tuple(str(header.get(keyword, "") or "") for keyword in _DATES)
        synthetic = dicom_is_synthetic(header)
    folder = Path(os.path.commonpath([path.parent for path in series.files]))
    return FoundScan(
        patient=series.patient_id.strip(),
        when=(*dates, *natural_order(folder)),
        folder=folder,
        files=series.files,
        series_uid=series.series_uid,
        synthetic=synthetic,
    )
