"""Dose grids from DICOM RTDOSE."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.objects import code_value, dicom_errors_as_bad_input, read_object, uid_value
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.plausible_grid import check_grid
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.errors import BadInput

_LARGEST_GRID = 2**27
"""Voxels; a grid of 1 mm over half a metre has no more."""

_LARGEST_DOSE = 1e5
"""Gy; half a millimetre from an HDR source a dose grid reaches some 10,000 Gy."""

_MOST_LARGE = 0.01
"""Share of the voxels that may have more than the largest dose: those within a source."""

_SAME_OFFSET = 0.1
"""mm by which the first frame offset may differ from 0 or from the position's z; exporters round both."""

_STRAIGHT = 1e-4
"""How far the normal's z may be from 1 in axial frames; the cosine of 0.8 degrees."""


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
        path: its file; None if it was not read from one.
    """

    grid: Volume
    kind: str
    summation: str
    plan_uids: tuple[str, ...]
    uid: str
    frame_of_reference_uid: str
    path: Path | None = None


def read_rtdose(path: Path) -> Dose:
    """Read one RTDOSE.

    Raises:
        BadInput: If the file is no RTDOSE, its dose is not physical or not in Gy, its scaling is not positive, a value
            is below 0, it has more voxels than a plan, its frames are not equally spaced, or its pixels are unreadable.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        dose = read_object(path, "an RTDOSE")
        modality, units = code_value(dose, "Modality"), code_value(dose, "DoseUnits").upper()
        if modality != "RTDOSE":
            raise BadInput(f"{path} is of modality {modality or 'unknown'}; expected an RTDOSE.")
        if units != "GY":
            raise BadInput(f"{path} gives its dose in units of “{units}”; expected GY: export absolute dose.")
        kind = code_value(dose, "DoseType").upper()
        if kind != "PHYSICAL":
            raise BadInput(
                f"{path} holds a dose of type {kind or '(none)'}; expected PHYSICAL, since EQD2 and DVHs are made of "
                "physical dose: export that."
            )
        return Dose(
            grid=_grid(dose, path),
            kind=kind,
            summation=code_value(dose, "DoseSummationType").upper(),
            plan_uids=tuple(
                sorted(
                    str(plan.get("ReferencedSOPInstanceUID", "")) for plan in dose.get("ReferencedRTPlanSequence") or ()
                )
            ),
            uid=uid_value(dose, "SOPInstanceUID"),
            frame_of_reference_uid=uid_value(dose, "FrameOfReferenceUID"),
            path=path,
        )


def _grid(dose: Dataset, path: Path) -> Volume:
    scaling = _scaling(dose, path)
    try:
        shape = tuple(int(dose[keyword].value) for keyword in ("NumberOfFrames", "Rows", "Columns"))
        if min(shape) < 1 or np.prod([float(n) for n in shape]) > _LARGEST_GRID:
            raise ValueError(shape)
        unsigned_by_default = dose.get("PixelRepresentation") is None
        if unsigned_by_default:
            dose.PixelRepresentation = 0  # as PS3.3 C.8.8.3.4 has it for every dose but an ERROR
        array = np.asarray(dose.pixel_array).reshape(shape)
        offsets = np.asarray(dose.GridFrameOffsetVector, float).ravel()
        position = np.asarray(dose.ImagePositionPatient, float).reshape(3)
        row, column = np.asarray(dose.ImageOrientationPatient, float).reshape(2, 3)
        spacing = tuple(float(value) for value in dose.PixelSpacing)
        if not (np.isfinite(offsets).all() and len(spacing) == 2):
            raise ValueError(offsets)
    except Exception as error:  # pydicom and its decoders raise anything at all on damaged values
        raise BadInput(f"{path} lacks a readable dose grid, or where it lies; export the RTDOSE again.") from error
    if array.min() < 0:
        raise BadInput(
            f"{path} holds doses down to {float(array.min()) * scaling:g} Gy; expected none below 0: export the RTDOSE "
            "again, without differences of doses."
        )
    unsure = unsigned_by_default and int(array.max()) >= 2 ** (8 * array.itemsize - 1)
    if unsure or np.count_nonzero(array > _LARGEST_DOSE / scaling) > _MOST_LARGE * array.size:
        raise BadInput(
            f"{path} holds doses up to {float(array.max()) * scaling:g} Gy; its values are probably negative and not "
            "marked as signed (PixelRepresentation), or its DoseGridScaling is wrong: export it again."
        )
    gy = np.empty(shape, np.float32)
    for frame, stored in zip(gy, array, strict=True):  # one by one: in between they need four times the memory
        frame[...] = stored.astype(np.float64) * scaling
    return _on_grid(gy, offsets, position, (row, column), (spacing[0], spacing[1]), path)


def _scaling(dose: Dataset, path: Path) -> float:
    """Gy per stored value."""
    try:
        scaling = float(dose.DoseGridScaling)
    except (AttributeError, TypeError, ValueError):
        scaling = math.nan
    if not 0 < scaling < math.inf:
        found = "no readable DoseGridScaling" if math.isnan(scaling) else f"a DoseGridScaling of {scaling:g}"
        raise BadInput(f"{path} has {found}; expected a positive number of Gy per stored value: export it again.")
    return scaling


def _on_grid(
    array: npt.NDArray[np.float32],
    offsets: FloatArray,
    position: FloatArray,
    axes: tuple[FloatArray, FloatArray],
    spacing: tuple[float, float],
    path: Path,
) -> Volume:
    """Frames (z, y, x) as a volume.

    Offsets are in mm along the normal and begin with 0, or, of axial frames, the patient's z coordinates and begin with
    that of the position (PS3.3 C.8.8.3.2). Nothing else has a meaning.
    """
    gaps = np.diff(offsets)
    framed = offsets.shape == array.shape[:1] and len(offsets) > 1
    if not (framed and np.ptp(gaps) < 0.01 and abs(gaps[0]) > 0.01):
        raise BadInput(
            f"{path} has no dose on equally spaced frames; expected at least 2, one offset each: export it again."
        )
    normal = np.cross(*axes)
    if abs(offsets[0]) > _SAME_OFFSET:
        axial = abs(normal[2]) > 1 - _STRAIGHT
        if not axial or abs(offsets[0] - position[2]) > _SAME_OFFSET:
            raise BadInput(
                f"{path} has {offsets[0]:g} as the first of its GridFrameOffsetVector and lies at z = {position[2]:g} "
                "mm; expected 0, or this z on axial frames: where the dose lies isn't known, export it again."
            )
        offsets = offsets * np.sign(normal[2])
    offsets = offsets - offsets[0]
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
