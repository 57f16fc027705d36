"""Volumes and doses compared with those that a planning system computed for its own contours and dose.

The files are in the source package of dicompyler-core (`pip download --no-deps --no-binary :all: dicompyler-core`):
``tests/testdata/example_data`` with an RTSTRUCT, and an RTDOSE that contains a DVHSequence. It has only one slice of
the CT; the others are copies of it.
"""

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from gynbtnet.evaluation.dose.dvh import dose_volume_histogram
from gynbtnet.evaluation.dose.metrics import dose_metric
from gynbtnet.imaging import CTSeries, StructureNames, Volume, read_ct_series, read_rtdose, read_rtstruct

FOLDER = os.environ.get("GYNBTNET_DICOMPYLER", "")
BIN_GY = 0.01
"""Width of the bins of the planning system's histograms."""

pytestmark = pytest.mark.skipif(
    not FOLDER, reason="GYNBTNET_DICOMPYLER doesn't name the folder example_data of dicompyler-core's source package"
)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> CTSeries:
    folder = tmp_path_factory.mktemp("ct")
    image = pydicom.dcmread(Path(FOLDER) / "ct.0.dcm")
    structures = pydicom.dcmread(Path(FOLDER) / "rtss.dcm")
    heights = {
        float(contour.ContourData[2])
        for roi in structures.ROIContourSequence
        for contour in roi.get("ContourSequence") or ()
    }
    x, y, _ = image.ImagePositionPatient
    uid = image.SOPInstanceUID
    for number, height in enumerate(np.arange(min(heights) - 3, max(heights) + 4, 3)):
        image.ImagePositionPatient, image.InstanceNumber = [x, y, f"{height:.4f}"], number
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"{uid}.{number}")
        image.save_as(folder / f"{number}.dcm")
    return read_ct_series(folder)


@pytest.fixture(scope="module")
def histograms() -> dict[str, np.ndarray]:
    """Return the cumulative histograms of the planning system by ROI: dose in Gy and volume in cm³."""
    structures = pydicom.dcmread(Path(FOLDER) / "rtss.dcm")
    names = {roi.ROINumber: roi.ROIName for roi in structures.StructureSetROISequence}
    found = {}
    for item in pydicom.dcmread(Path(FOLDER) / "rtdose.dcm").DVHSequence:
        widths, volumes = np.asarray(item.DVHData, float).reshape(-1, 2).T
        number = item.DVHReferencedROISequence[0].ReferencedROINumber
        found[names[number]] = np.stack([np.cumsum(widths) - widths, volumes])
    return found


@pytest.fixture(scope="module")
def dose() -> Volume:
    return read_rtdose(Path(FOLDER) / "rtdose.dcm").grid


def theirs(histogram: np.ndarray, volume_cm3: float) -> float:
    doses, volumes = histogram
    return float(np.interp(-volume_cm3, -volumes, doses))


@pytest.mark.parametrize("roi", ["Breast", "Heart", "Lt Lung", "Tumor Bed", "Tumor Bed Block"])
def test_without_half_slices_at_the_ends_volumes_and_doses_agree(
    roi: str, scan: CTSeries, histograms: dict[str, np.ndarray], dose: Volume
) -> None:
    """Volume, D98 and D2cc agree within 1 %, or a dose within a bin."""
    contours, _ = read_rtstruct(Path(FOLDER) / "rtss.dcm", scan, (roi,), StructureNames.load())
    ours = dose_volume_histogram(contours.mask(roi), contours.labels.geometry, [dose], ends="none")
    volume = histograms[roi][1, 0]
    assert ours.volume_cm3 == pytest.approx(volume, rel=0.01)
    for metric, volume_cm3 in (("D98", 0.98 * volume), ("D2cc", 2.0)):
        expected = theirs(histograms[roi], volume_cm3)
        assert dose_metric(metric, ours).dose_gy == pytest.approx(expected, rel=0.01, abs=BIN_GY)


@pytest.mark.parametrize("roi", ["Tumor Bed", "Tumor Bed Block"])
def test_with_half_slices_volumes_of_targets_are_larger(
    roi: str, scan: CTSeries, histograms: dict[str, np.ndarray], dose: Volume
) -> None:
    contours, _ = read_rtstruct(Path(FOLDER) / "rtss.dcm", scan, (roi,), StructureNames.load())
    ours = dose_volume_histogram(contours.mask(roi), contours.labels.geometry, [dose], ends="half")
    assert ours.volume_cm3 > 1.01 * histograms[roi][1, 0]
