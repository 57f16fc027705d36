"""Measured edits of contours that were edited in another program, such as a planning system."""

from pathlib import Path

import numpy as np

from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.review.case import ReviewCase
from gynbtnet.review.correction import measure_correction
from gynbtnet.review.record import ReviewRecord, StructureReview, make_record
from gynbtnet.runtime.errors import BadInput


def measure_edited(case: ReviewCase, edited: Path, names: StructureNames | None = None) -> ReviewRecord:
    """Measure what was changed between a prediction and an RTSTRUCT of the same scan.

    Args:
        case: the prediction.
        edited: RTSTRUCT with the edited contours, in the frame of reference of the scan.
        names: names of ROIs; None: the built-in table.

    Returns:
        The record; a structure without a ROI is "missing".

    Raises:
        BadInput: If the scan is an image file, or the RTSTRUCT is of another scan, damaged or without any structure.
    """
    if case.series is None:
        raise BadInput(f"{case.folder} is the prediction of an image file; an RTSTRUCT needs a DICOM scan.")
    reference = read_reference(edited)
    if reference.frame_of_reference_uid and reference.frame_of_reference_uid != case.series.frame_of_reference_uid:
        raise BadInput(
            f"{edited} was drawn in another frame of reference than the scan of {case.folder}; give the RTSTRUCT of "
            "this scan."
        )
    if reference.series_uids and case.series.series_uid not in reference.series_uids:
        raise BadInput(
            f"{edited} refers to another series than the scan of {case.folder}; give the RTSTRUCT of this scan."
        )
    names = names or StructureNames.load()
    contours, report = read_rtstruct(edited, case.series, case.record.structures, names)
    structures = {}
    for name in case.record.structures:
        if name in report.missing:
            structures[name] = StructureReview("missing", "", None, None, None)
            continue
        before, after = case.automatic.mask(name), contours.mask(name)
        changed = not np.array_equal(before, after)
        structures[name] = StructureReview(
            "edited elsewhere" if changed else "unchanged",
            "SEMIAUTOMATIC" if changed else "AUTOMATIC",
            None,
            None,
            measure_correction(name, before, after, case.scan.geometry, doses=case.doses, names=names),
        )
    return make_record(case.record, structures)
