"""Origin of the contours in an RTSTRUCT: whether GynBTNet predicted them and nobody has approved them since."""

from pathlib import Path

from gynbtnet.imaging.dicom.objects import code_value, dicom_errors_as_bad_input, read_header

_PHANTOM = "gynbtnet phantom"  # its contours are the truth of a synthetic scan


def is_unreviewed_prediction(rtstruct: Path) -> bool:
    """Return True if GynBTNet made the contours automatically, and their ApprovalStatus isn't APPROVED.

    A planning system that stores corrected contours replaces the Manufacturer, and ``gynbtnet convert`` leaves the
    ROIGenerationAlgorithm empty. Both count as contours that a person has checked.

    Args:
        rtstruct: the RTSTRUCT.

    Returns:
        True for predictions; False for all other contours, also for the truth of phantoms.

    Raises:
        BadInput: If the file can't be read.
    """
    keywords = ["Manufacturer", "SoftwareVersions", "ApprovalStatus", "StructureSetROISequence"]
    with dicom_errors_as_bad_input(rtstruct):
        header = read_header(rtstruct, "an RTSTRUCT", keywords)
        if str(header.get("Manufacturer", "")) != "GynBTNet" or str(header.get("SoftwareVersions", "")) == _PHANTOM:
            return False
        algorithms = {code_value(roi, "ROIGenerationAlgorithm") for roi in header.get("StructureSetROISequence") or ()}
        return "AUTOMATIC" in algorithms and code_value(header, "ApprovalStatus") != "APPROVED"
