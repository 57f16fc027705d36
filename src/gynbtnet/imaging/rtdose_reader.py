"""Dose grids from DICOM RTDOSE."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from gynbtnet.errors import BadInput
from gynbtnet.imaging.dicom_objects import code, read_object, reading, uid
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.plausible_grid import check_grid
from gynbtnet.imaging.volume import Volume

Floats = npt.NDArray[np.float64]

_LARGEST_GRID = 2**27
"""Voxels; a grid of 1 mm over half a metre has no more."""


@dataclass(frozen=True)
class Dose:
    """A dose grid and what it is the dose of.

    Attributes:
        grid: Gy as float32, z along the normal of its frames.
        kind: DICOM's DoseType, such as ``"PHYSICAL"`` or ``"EFFECTIVE"``.
        summation: DICOM's DoseSummationType, such as ``"PLAN"`` or ``"BRACHY"``.
        plan_uids: SOPInstanceUIDs of the plans that it belongs to, sorted; empty where it doesn't say.
        uid: its own SOPInstanceUID.
        frame_of_reference_uid: of its coordinates.
    """

    grid: Volume
    kind: str
    summation: str
    plan_uids: tuple[str, ...]
    uid: str
    frame_of_reference_uid: str


def read_rtdose(path: Path) -> Dose:
    """Read one RTDOSE.

    Raises:
        BadInput: no RTDOSE, a dose in other units, of more than a plan's voxels, frames at unequal distances, or
            unreadable pixels.
    """
    path = Path(path)
    with reading(path):
        dose = read_object(path, "an RTDOSE")
        modality, units = code(dose, "Modality"), code(dose, "DoseUnits")
        if modality != "RTDOSE":
            raise BadInput(f"{path} is of modality {modality or 'unknown'}; expected an RTDOSE.")
        if units != "GY":
            raise BadInput(f"{path} gives its dose in units of “{units}”; expected GY: export absolute dose.")
        return Dose(
            grid=_grid(dose, path),
            kind=code(dose, "DoseType"),
            summation=code(dose, "DoseSummationType"),
            plan_uids=tuple(
                sorted(
                    str(plan.get("ReferencedSOPInstanceUID", "")) for plan in dose.get("ReferencedRTPlanSequence") or ()
                )
            ),
            uid=uid(dose, "SOPInstanceUID"),
            frame_of_reference_uid=uid(dose, "FrameOfReferenceUID"),
        )


def _grid(dose: Dataset, path: Path) -> Volume:
    try:
        shape = tuple(int(dose[keyword].value) for keyword in ("NumberOfFrames", "Rows", "Columns"))
        if min(shape) < 1 or np.prod([float(n) for n in shape]) > _LARGEST_GRID:
            raise ValueError(shape)
        array = np.asarray(dose.pixel_array).reshape(shape)
        scaling = float(dose.DoseGridScaling)
        offsets = np.asarray(dose.GridFrameOffsetVector, float).ravel()
        position = np.asarray(dose.ImagePositionPatient, float).reshape(3)
        row, column = np.asarray(dose.ImageOrientationPatient, float).reshape(2, 3)
        spacing = tuple(float(value) for value in dose.PixelSpacing)
        if not (np.isfinite(scaling) and np.isfinite(offsets).all() and len(spacing) == 2):
            raise ValueError(scaling)
    except Exception as error:  # pydicom and its decoders raise anything at all on damaged values
        raise BadInput(f"{path} lacks a readable dose grid, or where it lies; export the RTDOSE again.") from error
    gy = np.empty(shape, np.float32)
    for frame, stored in zip(gy, array, strict=True):  # one by one: in between they need four times the memory
        frame[...] = stored.astype(np.float64) * scaling
    return _on_grid(gy, offsets, position, (row, column), (spacing[0], spacing[1]), path)


def _on_grid(
    array: npt.NDArray[np.float32],
    offsets: Floats,
    position: Floats,
    axes: tuple[Floats, Floats],
    spacing: tuple[float, float],
    path: Path,
) -> Volume:
    """Frames (z, y, x) at ``offsets`` mm along the normal (PS3.3 C.8.8.3.2), as a volume."""
    gaps = np.diff(offsets)
    framed = offsets.shape == array.shape[:1] and len(offsets) > 1
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
            spacing=(float(offsets[-1] - offsets[0]) / (len(offsets) - 1), *spacing),
            origin=tuple(position),
            direction=tuple(np.stack([*axes, normal]).T.ravel()),
        )
    except ValueError as error:
        raise BadInput(f"{path} lies on no usable grid: {error}; export the RTDOSE again.") from error
    check_grid(geometry, str(path))
    return Volume(np.ascontiguousarray(array), geometry)
