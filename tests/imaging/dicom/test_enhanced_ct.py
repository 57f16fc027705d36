"""Multi-frame CT against the classic series with the same slices."""

from copy import deepcopy

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.imaging.dicom.objects import MULTI_FRAME_CT
from gynbtnet.runtime import BadInput


def item(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return [dataset]


@pytest.fixture(params=["each", "shared"])
def multi_frame(ct, tmp_path, request):
    """Return one object with the slices of ``ct`` in another order; common values are shared or stored per frame."""
    slices = [pydicom.dcmread(ct.files[z]) for z in (3, 0, 4, 1, 2)]
    enhanced = pydicom.dcmread(ct.files[3])
    enhanced.file_meta.MediaStorageSOPClassUID = enhanced.SOPClassUID = MULTI_FRAME_CT[0]
    enhanced.file_meta.MediaStorageSOPInstanceUID = enhanced.SOPInstanceUID = UID("1.2.3.4")
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        del enhanced[keyword]
    del enhanced.RescaleIntercept
    common = Dataset()
    common.PlaneOrientationSequence = item(ImageOrientationPatient=slices[0].ImageOrientationPatient)
    common.PixelMeasuresSequence = item(PixelSpacing=slices[0].PixelSpacing, SliceThickness=3)
    common.PixelValueTransformationSequence = item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    frames = []
    for one in slices:
        frame = Dataset() if request.param == "shared" else deepcopy(common)
        frame.PlanePositionSequence = item(ImagePositionPatient=one.ImagePositionPatient)
        frames.append(frame)
    enhanced.SharedFunctionalGroupsSequence = [common if request.param == "shared" else Dataset()]
    enhanced.PerFrameFunctionalGroupsSequence = frames
    enhanced.NumberOfFrames = len(frames)
    enhanced.PixelData = b"".join(one.PixelData for one in slices)
    path = tmp_path / "enhanced" / "object"
    path.parent.mkdir()
    enhanced.save_as(path)
    return path


def test_frames_form_the_same_volume(ct, multi_frame):
    read = read_ct_series(multi_frame.parent)
    assert np.array_equal(read.volume.array, ct.volume.array)
    assert read.volume.geometry.offset(ct.volume.geometry) < 1e-6
    assert [one.frame for one in read.slices] == [2, 4, 5, 1, 3]
    assert {one.sop_instance_uid for one in read.slices} == {"1.2.3.4"}
    assert read.files == (multi_frame,)


def test_a_frame_has_its_own_rescale(ct, multi_frame):
    dataset = pydicom.dcmread(multi_frame)
    transformation = item(RescaleSlope=2, RescaleIntercept=-1000, RescaleType="HU")
    dataset.PerFrameFunctionalGroupsSequence[2].PixelValueTransformationSequence = transformation
    dataset.save_as(multi_frame)
    array = read_ct_series(multi_frame.parent).volume.array
    assert np.array_equal(array[4], np.maximum((ct.volume.array[4].astype(int) + 1024) * 2 - 1000, -1024))
    assert np.array_equal(array[:4], ct.volume.array[:4])


def test_frames_that_do_not_add_up_are_reported(multi_frame):
    dataset = pydicom.dcmread(multi_frame)
    dataset.NumberOfFrames = 10**6
    dataset.save_as(multi_frame)
    with pytest.raises(BadInput, match="1000000 frames and describes 5"):
        read_ct_series(multi_frame.parent)
    dataset.NumberOfFrames = 5
    del dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    dataset.save_as(multi_frame)
    with pytest.raises(BadInput, match="no usable ImagePositionPatient"):
        read_ct_series(multi_frame.parent)
