"""Detection of DICOM instances whose end is missing, such as files that are still being copied."""

from io import BytesIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.utils import get_expected_length

from gynbtnet.imaging.dicom.damaged_files import has_content_after_header
from gynbtnet.imaging.dicom.objects import is_cut_short, lenient_pydicom, uid_value

_CONTENT = 0x30000000
"""Lowest tag of contours, doses, plans and pixels (PS3.6)."""


def lacks_end(content: bytes) -> bool:
    """Check if the end of an instance is missing.

    It is missing if the last value is shorter than its length, or compressed pixels have no delimiter at their end.
    Uncompressed pixels must not be fewer than declared. An object that has pixels or contours by its class must not end
    within its header.

    Args:
        content: a DICOM file.

    Returns:
        True also if the file can't be parsed.
    """
    try:
        with lenient_pydicom():
            dataset = pydicom.dcmread(BytesIO(content))
            return is_cut_short(dataset) or _ends_within_header(dataset) or _lacks_pixels(dataset)
    except Exception:  # pydicom raises any exception on damaged bytes
        return True


def _ends_within_header(dataset: Dataset) -> bool:
    """Check if nothing follows the header.

    pydicom returns an empty dataset if a file ends within compressed pixels or another value without a length.
    """
    if "SOPClassUID" not in dataset:
        return True
    has_content = has_content_after_header(uid_value(dataset, "SOPClassUID"))
    return has_content and max(dataset.keys()) < _CONTENT


def _lacks_pixels(dataset: Dataset) -> bool:
    """Check if uncompressed pixels are fewer than declared; False if the header doesn't declare their number."""
    if "PixelData" not in dataset or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return False
    try:
        expected = get_expected_length(dataset)
    except (AttributeError, TypeError, ValueError, KeyError):  # such as no Rows
        return False
    return len(dataset.PixelData) < expected
