"""Dose grids as DICOM RTDOSE."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset

from gynbtnet.errors import BadInput
from gynbtnet.imaging.ct_series import CTSeries
from gynbtnet.imaging.dicom_objects import (
    RT_DOSE,
    RT_PLAN,
    copy_patient_and_study,
    decimals,
    lenient,
    new_object,
    new_uid,
    read_object,
    seeded_uid,
    set_now,
    write_object,
)
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume


def write_rtdose(dose_gy: Volume, ct: CTSeries, path: Path, *, description: str) -> None:
    """Write physical dose in Gy as one RTDOSE in the study and frame of reference of ``ct``.

    The standard demands the plan that a dose belongs to; it is named by a UID, but no RTPLAN is written.

    Raises:
        ValueError: where a dose is negative or not finite.
    """
    if not np.isfinite(dose_gy.array).all() or dose_gy.array.min() < 0:
        raise ValueError("doses are finite and at least 0 Gy")
    array, geometry = dose_gy.array.astype(np.float64), dose_gy.geometry
    axes = np.asarray(geometry.direction).reshape(3, 3).T
    if np.linalg.det(axes) < 0:  # frames of an RTDOSE follow the normal row × column
        array, first = array[::-1], geometry.to_world((geometry.shape[0] - 1, 0, 0))
    else:
        first = geometry.to_world((0, 0, 0))
    scaling = float(decimals([max(float(array.max()), 1e-6) / (2**32 - 2)])[0])
    dose = new_object(RT_DOSE, new_uid())
    with lenient():
        copy_patient_and_study(pydicom.dcmread(ct.files[0], stop_before_pixels=True), dose)
    set_now(dose, "InstanceCreation", "Content")
    dose.Modality = "RTDOSE"
    dose.OperatorsName = ""
    dose.SeriesDescription = description[:64]
    dose.SeriesInstanceUID = new_uid()
    dose.FrameOfReferenceUID = ct.frame_of_reference_uid
    dose.PositionReferenceIndicator = ""
    dose.SeriesNumber = dose.InstanceNumber = 1
    dose.ImagePositionPatient = decimals(first)
    dose.ImageOrientationPatient = decimals(axes[:2].ravel())
    dose.PixelSpacing = decimals(geometry.spacing[1:])
    dose.SliceThickness = decimals(geometry.spacing[:1])[0]
    dose.GridFrameOffsetVector = decimals(np.arange(len(array)) * geometry.spacing[0])
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
    dose.DoseGridScaling = decimals([scaling])[0]
    plan = Dataset()
    plan.ReferencedSOPClassUID = RT_PLAN
    plan.ReferencedSOPInstanceUID = seeded_uid(ct.series_uid, "plan")
    dose.ReferencedRTPlanSequence = [plan]
    dose.PixelData = np.rint(array / scaling).astype("<u4").tobytes()
    dose["PixelData"].VR = "OW"
    write_object(dose, Path(path))


def read_rtdose(path: Path) -> Volume:
    """Read a dose grid in Gy, float32, z along the normal of its frames.

    Raises:
        BadInput: no RTDOSE, a dose in other units, frames at unequal distances, unreadable pixels.
    """
    path = Path(path)
    with lenient():
        dose = read_object(path, "an RTDOSE")
        if dose.get("Modality") != "RTDOSE":
            raise BadInput(f"{path} is of modality {dose.get('Modality', 'unknown')}; expected an RTDOSE.")
        if dose.get("DoseUnits") != "GY":
            raise BadInput(
                f"{path} gives its dose in units of “{dose.get('DoseUnits', '')}”; expected GY: export absolute dose."
            )
        try:
            array = np.asarray(dose.pixel_array, np.float64) * float(dose.DoseGridScaling)
            offsets = np.asarray(dose.GridFrameOffsetVector, float)
            position = np.asarray(dose.ImagePositionPatient, float).reshape(3)
            row, column = np.asarray(dose.ImageOrientationPatient, float).reshape(2, 3)
            spacing = tuple(float(value) for value in dose.PixelSpacing)
        except Exception as error:  # pydicom and its decoders raise anything at all on damaged values
            raise BadInput(f"{path} lacks a readable dose grid, or where it lies; export the RTDOSE again.") from error
    return _on_grid(array, offsets, position, (row, column), spacing, path)


def _on_grid(
    array: npt.NDArray[np.float64],
    offsets: npt.NDArray[np.float64],
    position: npt.NDArray[np.float64],
    axes: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    spacing: tuple[float, ...],
    path: Path,
) -> Volume:
    """Frames (z, y, x) at ``offsets`` mm along the normal (PS3.3 C.8.8.3.2), as a volume."""
    gaps = np.diff(offsets)
    framed = array.ndim == 3 and offsets.shape == array.shape[:1] and len(offsets) > 1
    if not (framed and np.ptp(gaps) < 0.01 and abs(gaps[0]) > 0.01):
        raise BadInput(
            f"{path} has no dose on equally spaced frames; expected at least 2, one offset each: export it again."
        )
    normal = np.cross(*axes)
    if offsets[0] != 0:  # the standard's other reading: offsets are the patient's z coordinates themselves
        offsets = (offsets - offsets[0]) * np.sign(normal[2])
    if offsets[1] < offsets[0]:
        array, position, offsets = array[::-1], position + normal * offsets[-1], offsets[::-1] - offsets[-1]
    try:
        geometry = Geometry(
            shape=array.shape,
            spacing=(float(offsets[-1] - offsets[0]) / (len(offsets) - 1), spacing[0], spacing[1]),
            origin=tuple(position),
            direction=tuple(np.stack([*axes, normal]).T.ravel()),
        )
    except ValueError as error:
        raise BadInput(f"{path} lies on no usable grid: {error}; export the RTDOSE again.") from error
    return Volume(np.ascontiguousarray(array, np.float32), geometry)
