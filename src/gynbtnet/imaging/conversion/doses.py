"""Conversion of doses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gynbtnet.imaging.conversion.options import (
    DESCRIPTION,
    Conversion,
    OutputFormat,
    check_is_image_file,
    impossible_conversion,
)
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.rt.dose_sum import sum_doses
from gynbtnet.imaging.dicom.rt.rtdose_reader import Dose
from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
from gynbtnet.imaging.dicom.same_patient import is_of_other_patient, other_patient_note
from gynbtnet.imaging.files.volume_files import is_image_file, write_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.resample_to_grid import voxels_outside
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput


def convert_doses(doses: Sequence[Dose], out: Path, options: Conversion, to: OutputFormat | None) -> tuple[str, ...]:
    """Convert doses to their sum, as an image file or an RTDOSE.

    Args:
        doses: one dose or several.
        out: output.
        options: options of the conversion.
        to: output format; None: by the name of ``out``.

    Returns:
        A sentence for each choice and each loss.

    Raises:
        BadInput: If a dose belongs to another scan or is outside of the grid, or can't be converted to the format.
    """
    to = to or ("image" if is_image_file(out) else "rtdose")
    ct = options.read_ct(out) if options.ct or to == "rtdose" else None
    if ct is not None and any(dose.frame_of_reference_uid != ct.frame_of_reference_uid for dose in doses):
        raise BadInput(f"A dose has another frame of reference than the CT in {options.ct}; give the CT of its plan.")
    grid = ct.volume.geometry if ct is not None and to == "image" else doses[0].grid.geometry
    total = sum_doses(doses, grid)
    paths = [dose.path for dose in doses if dose.path is not None]
    others = [other_patient_note(path) for path in paths if ct is not None and is_of_other_patient(path, ct.patient_id)]
    notes = (*(ct.notes if ct else ()), *others, *_outside_doses(doses, grid))
    if to == "image":
        check_is_image_file(out)
        write_volume(total, out)
    elif to == "rtdose" and ct is not None:
        write_dose(total, out, ct)
    else:
        raise impossible_conversion(out, "a dose", to)
    return notes


def _outside_doses(doses: Sequence[Dose], grid: Geometry) -> tuple[str, ...]:
    """Return a note if a part of a grid is outside of a dose.

    Raises:
        BadInput: If the whole grid is outside of a dose.
    """
    shares = [float(voxels_outside(grid, dose.grid.geometry).mean()) for dose in doses]
    for dose, share in zip(doses, shares, strict=True):
        if share == 1:
            raise BadInput(
                f"{dose.path} has no dose within the grid of the result, which would be 0 everywhere; give the CT of "
                "its plan with --ct."
            )
    if not any(shares):
        return ()
    largest = f"Up to {100 * max(shares):.2g} % of the voxels are outside of a dose grid"
    return (f"{largest}; the dose there is unknown and counts as 0 Gy.",)


def write_dose(dose: Volume, out: Path, ct: CTSeries) -> None:
    """Write a dose as RTDOSE.

    Args:
        dose: dose in Gy.
        out: file to write.
        ct: CT of its plan.

    Raises:
        BadInput: If a value is negative or not finite, or no object can refer to the CT.
    """
    if not np.isfinite(dose.array).all() or dose.array.min() < 0:
        raise BadInput(f"The lowest dose for {out} is {dose.array.min():g} Gy; expected at least 0: is it a dose?")
    ct.check_referable(slices=False)
    write_rtdose(dose, ct, out, description=DESCRIPTION)
