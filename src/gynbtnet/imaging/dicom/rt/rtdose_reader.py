"""Reading of dose grids from DICOM RTDOSE."""

import math
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.objects import (
    code_value,
    dicom_errors_as_bad_input,
    integer_value,
    read_object,
    uid_value,
)
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.plausible_grid import check_grid
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.errors import BadInput

_MAX_VOXELS = 2**27
"""Maximum number of voxels; a grid of 1 mm over half a metre has no more."""

_MAX_DOSE_GY = 1e5
"""Half a millimetre from an HDR source a dose grid reaches some 10,000 Gy."""

_MAX_SHARE_ABOVE = 0.01
"""Maximum share of voxels above ``_MAX_DOSE_GY``: those within a source."""

_OFFSET_TOLERANCE_MM = 0.1
"""Tolerance of the first frame offset, from 0 or from the z of the position; exporters round both."""

_AXIAL_TOLERANCE = 1e-4
"""Maximum difference of the normal's z from 1 in axial frames; this is the cosine of 0.8 degrees."""


_PARTS_OF_GROUP = (
    ("ReferencedBeamSequence", "beam", "ReferencedBeamNumber"),
    ("ReferencedBrachyApplicationSetupSequence", "application setup", "ReferencedBrachyApplicationSetupNumber"),
)
"""Sequences of the parts of a fraction group, their kind in words, and the keyword of their number."""


@dataclass(frozen=True)
class Dose:
    """A dose grid with its type and its plans.

    Attributes:
        grid: dose in Gy as float32, z along the normal of its frames.
        dose_type: DICOM's DoseType, such as ``"PHYSICAL"`` or ``"EFFECTIVE"``.
        summation_type: DICOM's DoseSummationType, such as ``"PLAN"`` or ``"BRACHY"``.
        plan_uids: SOPInstanceUIDs of the plans to which it belongs, sorted; empty if unknown.
        uid: its SOPInstanceUID.
        frame_of_reference_uid: frame of reference of its coordinates.
        path: its file; None if it was not read from a file.
        part: numbers of the fraction groups, beams and application setups of its plan to which it belongs, in words
            and sorted; empty if unknown.
    """

    grid: Volume
    dose_type: str
    summation_type: str
    plan_uids: tuple[str, ...]
    uid: str
    frame_of_reference_uid: str
    path: Path | None = None
    part: tuple[str, ...] = ()


def read_rtdose(path: Path) -> Dose:
    """Read the dose grid of one RTDOSE.

    Args:
        path: the RTDOSE.

    Returns:
        The dose in Gy on its grid, and what it is the dose of.

    Raises:
        BadInput: If the file isn't an RTDOSE, or its dose is not physical or not in Gy. If its scaling is not
            positive, a value is below 0, all are 0, or the grid is impossibly large. If its frames are not equally
            spaced, or its pixels are unreadable.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        dose = read_object(path, "an RTDOSE")
        modality, units = code_value(dose, "Modality"), code_value(dose, "DoseUnits").upper()
        if modality != "RTDOSE":
            raise BadInput(f"{path} is of modality {modality or 'unknown'}; expected an RTDOSE.")
        if units != "GY":
            raise BadInput(f"{path} has doses in units of “{units}”; expected GY: export absolute dose.")
        dose_type = code_value(dose, "DoseType").upper()
        if dose_type != "PHYSICAL":
            raise BadInput(
                f"{path} holds a dose of type {dose_type or '(none)'}; expected PHYSICAL, since EQD2 and DVHs are "
                "calculated from physical dose: export that."
            )
        return Dose(
            grid=_read_grid(dose, path),
            dose_type=dose_type,
            summation_type=code_value(dose, "DoseSummationType").upper(),
            plan_uids=tuple(
                sorted(
                    {uid_value(plan, "ReferencedSOPInstanceUID") for plan in dose.get("ReferencedRTPlanSequence") or ()}
                    - {""}
                )
            ),
            uid=uid_value(dose, "SOPInstanceUID"),
            frame_of_reference_uid=uid_value(dose, "FrameOfReferenceUID"),
            path=path,
            part=_part_of_plan(dose),
        )


def _part_of_plan(dose: Dataset) -> tuple[str, ...]:
    """Return the parts of a plan that a dose refers to, in words: beams and setups, for FRACTION doses also groups."""
    parts: set[str] = set()
    for plan in dose.get("ReferencedRTPlanSequence") or ():
        for group in plan.get("ReferencedFractionGroupSequence") or ():
            name = f"fraction group {integer_value(group, 'ReferencedFractionGroupNumber') or '?'}"
            parts.update(
                f"{kind} {integer_value(item, number)} of {name}"
                for sequence, kind, number in _PARTS_OF_GROUP
                for item in group.get(sequence) or ()
                if integer_value(item, number)
            )
            if code_value(dose, "DoseSummationType").upper() == "FRACTION":
                parts.add(name)
    return tuple(sorted(parts))


def _read_grid(dose: Dataset, path: Path) -> Volume:
    """Return the dose in Gy on its grid."""
    scaling = _scaling(dose, path)
    try:
        shape = tuple(int(dose[keyword].value) for keyword in ("NumberOfFrames", "Rows", "Columns"))
        if min(shape) < 1 or np.prod([float(n) for n in shape]) > _MAX_VOXELS:
            raise ValueError(shape)
        unsigned_by_default = dose.get("PixelRepresentation") is None
        if unsigned_by_default:
            dose = copy(dose)
            dose.PixelRepresentation = 0  # PS3.3 C.8.8.3.4 requires it for every dose but an ERROR
        array = np.asarray(dose.pixel_array).reshape(shape)
        offsets = np.asarray(dose.GridFrameOffsetVector, float).ravel()
        position = np.asarray(dose.ImagePositionPatient, float).reshape(3)
        row, column = np.asarray(dose.ImageOrientationPatient, float).reshape(2, 3)
        spacing = tuple(float(value) for value in dose.PixelSpacing)
        if not (np.isfinite(offsets).all() and len(spacing) == 2):
            raise ValueError(offsets)
    except Exception as error:  # pydicom and its decoders raise any exception on damaged values
        raise BadInput(
            f"{path} has no readable dose grid, or no readable position of it; export the RTDOSE again."
        ) from error
    if array.min() < 0:
        raise BadInput(
            f"{path} holds doses down to {float(array.min()) * scaling:g} Gy; expected at least 0: export the RTDOSE "
            "again, not a difference of doses."
        )
    is_ambiguous = unsigned_by_default and int(array.max()) >= 2 ** (8 * array.itemsize - 1)
    if is_ambiguous or np.count_nonzero(array > _MAX_DOSE_GY / scaling) > _MAX_SHARE_ABOVE * array.size:
        raise BadInput(
            f"{path} holds doses up to {float(array.max()) * scaling:g} Gy; its values are probably negative and not "
            "marked as signed (PixelRepresentation), or its DoseGridScaling is wrong: export it again."
        )
    if array.max() <= 0:
        raise BadInput(f"{path} holds no dose above 0 Gy; expected a calculated dose: calculate it, and export it.")
    gy = np.empty(shape, np.float32)
    for frame, stored in zip(
        gy, array, strict=True
    ):  # one by one, since the intermediate values need four times the memory
        frame[...] = stored.astype(np.float64) * scaling
    return _on_grid(gy, offsets, position, (row, column), (spacing[0], spacing[1]), path)


def _scaling(dose: Dataset, path: Path) -> float:
    """Return the dose in Gy per stored value."""
    try:
        scaling = float(dose.DoseGridScaling)
    except (AttributeError, TypeError, ValueError):
        scaling = math.nan
    if not 0 < scaling < math.inf:
        value = "no readable DoseGridScaling" if math.isnan(scaling) else f"a DoseGridScaling of {scaling:g}"
        raise BadInput(f"{path} has {value}; expected a positive number of Gy per stored value: export it again.")
    return scaling


def _on_grid(
    array: npt.NDArray[np.float32],
    offsets: FloatArray,
    position: FloatArray,
    axes: tuple[FloatArray, FloatArray],
    spacing: tuple[float, float],
    path: Path,
) -> Volume:
    """Return frames (z, y, x) as a volume.

    Offsets are in mm along the normal and begin with 0. In axial frames they may also be z coordinates of the patient
    and begin with that of the position (PS3.3 C.8.8.3.2). Other offsets have no meaning.
    """
    gaps = np.diff(offsets)
    is_complete = offsets.shape == array.shape[:1] and len(offsets) > 1
    if not (is_complete and np.ptp(gaps) < 0.01 and abs(gaps[0]) > 0.01):
        raise BadInput(
            f"{path} has no equally spaced frames; expected at least 2, with one offset per frame: export it again."
        )
    normal = np.cross(*axes)
    if abs(offsets[0]) > _OFFSET_TOLERANCE_MM:
        is_axial = abs(normal[2]) > 1 - _AXIAL_TOLERANCE
        if not is_axial or abs(offsets[0] - position[2]) > _OFFSET_TOLERANCE_MM:
            raise BadInput(
                f"The GridFrameOffsetVector of {path} begins with {offsets[0]:g}, and the dose begins at z = "
                f"{position[2]:g} mm. Expected 0, or this z on axial frames; otherwise its position is unknown. Export "
                "it again."
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
        raise BadInput(f"{path} has no usable dose grid: {error}; export the RTDOSE again.") from error
    check_grid(geometry, str(path))
    return Volume(np.ascontiguousarray(array), geometry)
