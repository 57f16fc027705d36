"""Writing of a dose grid as DICOM RTDOSE."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.objects import (
    RT_DOSE,
    RT_PLAN,
    current_date_and_time,
    decimal_strings,
    lenient_pydicom,
    new_object,
    new_uid,
    patient_and_study,
    read_header,
    seeded_uid,
    write_object,
)
from gynbtnet.imaging.volume import Volume


def write_rtdose(dose_gy: Volume, ct: CTSeries, path: Path, *, description: str) -> None:
    """Write physical dose as one RTDOSE in the study and frame of reference of ``ct``.

    The standard requires a reference to the plan of a dose: it has a UID, but no RTPLAN is written.

    Args:
        dose_gy: dose in Gy (z, y, x).
        ct: the CT of the plan.
        path: file to write.
        description: the SeriesDescription, cut to 64 characters.

    Raises:
        ValueError: If a dose is negative or not finite.
    """
    if not np.isfinite(dose_gy.array).all() or dose_gy.array.min() < 0:
        raise ValueError("expected finite doses of at least 0 Gy")
    array, geometry = dose_gy.array.astype(np.float64), dose_gy.geometry
    axes = np.asarray(geometry.direction).reshape(3, 3).T
    if np.linalg.det(axes) < 0:  # frames of an RTDOSE follow the normal row × column
        array, first = array[::-1], geometry.to_world((geometry.shape[0] - 1, 0, 0))
    else:
        first = geometry.to_world((0, 0, 0))
    scaling = float(decimal_strings([max(float(array.max()), 1e-6) / (2**32 - 2)])[0])
    dose = new_object(RT_DOSE, new_uid())
    with lenient_pydicom():
        dose.update(patient_and_study(read_header(ct.files[0], "a CT slice")))
    dose.update(current_date_and_time("InstanceCreation", "Content"))
    dose.Modality = "RTDOSE"
    dose.OperatorsName = ""
    dose.SeriesDescription = description[:64]
    dose.SeriesInstanceUID = new_uid()
    dose.FrameOfReferenceUID = ct.frame_of_reference_uid
    dose.PositionReferenceIndicator = ""
    dose.SeriesNumber = dose.InstanceNumber = 1
    dose.ImagePositionPatient = decimal_strings(first)
    dose.ImageOrientationPatient = decimal_strings(axes[:2].ravel())
    dose.PixelSpacing = decimal_strings(geometry.spacing[1:])
    dose.SliceThickness = decimal_strings(geometry.spacing[:1])[0]
    dose.GridFrameOffsetVector = decimal_strings(np.arange(len(array)) * geometry.spacing[0])
    dose.FrameIncrementPointer = pydicom.tag.Tag("GridFrameOffsetVector")
    dose.NumberOfFrames, dose.Rows, dose.Columns = array.shape
    dose.SamplesPerPixel = 1
    dose.PhotometricInterpretation = "MONOCHROME2"
    dose.BitsAllocated = dose.BitsStored = 32
    dose.HighBit = 31
    dose.PixelRepresentation = 0
    dose.DoseUnits = "GY"
    dose.DoseType = "PHYSICAL"
    dose.DoseSummationType = "PLAN"
    dose.DoseGridScaling = decimal_strings([scaling])[0]
    plan = Dataset()
    plan.ReferencedSOPClassUID = RT_PLAN
    plan.ReferencedSOPInstanceUID = seeded_uid(ct.series_uid, "plan")
    dose.ReferencedRTPlanSequence = [plan]
    dose.PixelData = np.rint(array / scaling).astype("<u4").tobytes()
    dose["PixelData"].VR = "OW"
    write_object(dose, Path(path))
