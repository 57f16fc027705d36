"""Every length of a file that isn't complete."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    RTStructureSetStorage,
)

from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.missing_end import lacks_end

_START = 400
"""A shorter beginning has no SOPClassUID."""


def ct_image(path: Path, syntax: str) -> bytes:
    dataset = pydicom.dcmread(path)
    if syntax == RLELossless:
        dataset.compress(syntax)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True, implicit_vr=syntax == ImplicitVRLittleEndian)
    return content.getvalue()


def structure_set() -> bytes:
    contour = Dataset()
    contour.ContourData = [1.0] * 30
    roi = Dataset()
    roi.ContourSequence = [contour, contour]
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, "1.2.3"
    dataset.ROIContourSequence = [roi, roi]
    dataset["ROIContourSequence"].is_undefined_length = True
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


@pytest.mark.parametrize(
    ("syntax", "unimportant"),  # bytes at the end that change nothing: a padding byte, or a part of a delimiter
    [
        (ExplicitVRLittleEndian, 0),
        (ImplicitVRLittleEndian, 0),
        (DeflatedExplicitVRLittleEndian, 1),
        (RLELossless, 4),
    ],
)
def test_any_end_that_is_missing_in_an_image_is_found(ct: CTSeries, syntax: str, unimportant: int) -> None:
    content = ct_image(ct.files[0], syntax)
    assert not lacks_end(content)
    whole = [length for length in range(_START, len(content) - unimportant) if not lacks_end(content[:length])]
    assert whole == []


def test_any_end_that_is_missing_in_a_structure_set_is_found() -> None:
    content = structure_set()
    assert not lacks_end(content)
    assert all(lacks_end(content[:length]) for length in range(_START, len(content)))


def test_fewer_pixels_than_declared_are_found(ct: CTSeries) -> None:
    dataset = pydicom.dcmread(ct.files[0])
    dataset.Rows += 1
    content = BytesIO()
    dataset.save_as(content)
    assert lacks_end(content.getvalue())
    del dataset.Rows
    content = BytesIO()
    dataset.save_as(content)
    assert not lacks_end(content.getvalue())  # unknown
