import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime import BadInput

SHAPE = (3, 4, 5)
AXIAL = (1, 0, 0, 0, 1, 0, 0, 0, 1)
INDEX = np.indices(SHAPE).reshape(3, -1).T


def grid(direction=AXIAL):
    array = np.random.default_rng(3).random(SHAPE).astype(np.float32) * 5000
    return Volume(array, Geometry(SHAPE, (2.0, 1.5, 1.0), (3.0, -2.0, 10.0), direction))


@pytest.fixture
def path(ct, tmp_path):
    write_rtdose(grid(), ct, tmp_path / "dose.dcm", description="SYNTHETIC dose")
    return tmp_path / "dose.dcm"


def test_every_orientation_comes_back(ct, tmp_path, axis_direction):
    dose = grid(axis_direction)
    write_rtdose(dose, ct, tmp_path / "dose.dcm", description="test")
    read = read_rtdose(tmp_path / "dose.dcm").grid
    where = np.rint(dose.geometry.to_index(read.geometry.to_world(INDEX))).astype(int)
    assert np.allclose(read.array.ravel(), dose.array[tuple(where.T)], rtol=1e-5, atol=1e-5)


def test_it_belongs_to_the_ct(ct, path):
    dose = pydicom.dcmread(path)
    assert (dose.StudyInstanceUID, dose.FrameOfReferenceUID) == (ct.study_uid, ct.frame_of_reference_uid)
    assert (dose.DoseUnits, dose.SeriesDescription, dose.PatientID) == ("GY", "SYNTHETIC dose", ct.patient_id)
    assert all(len(value) <= 16 for value in map(str, [dose.DoseGridScaling, *dose.GridFrameOffsetVector]))


def test_simpleitk_reads_the_same_dose(path):
    image = sitk.ReadImage(str(path))
    scaling = float(pydicom.dcmread(path).DoseGridScaling)
    factor = scaling if sitk.GetArrayFromImage(image).max() > 1e6 else 1  # some releases of ITK apply it, some don't
    assert np.allclose(sitk.GetArrayFromImage(image) * factor, grid().array, rtol=1e-5)
    assert np.allclose(image.GetOrigin(), grid().geometry.origin)


def edited(path, **values):
    dose = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(dose, keyword, value)
    dose.save_as(path)
    return path


def test_frames_may_be_given_downwards_or_by_their_z(path):
    expected = grid()
    reversed_frames = pydicom.dcmread(path).pixel_array[::-1].tobytes()
    for offsets in ([0, -2, -4], [14, 12, 10]):
        edited(path, GridFrameOffsetVector=offsets, ImagePositionPatient=[3, -2, 14], PixelData=reversed_frames)
        read = read_rtdose(path).grid
        assert np.allclose(read.array, expected.array, rtol=1e-5)
        assert read.geometry.offset(expected.geometry) < 1e-6


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"Modality": "CT"}, "is of modality CT; expected an RTDOSE"),
        ({"DoseUnits": "RELATIVE"}, "units of “RELATIVE”"),
        ({"GridFrameOffsetVector": [0, 2, 5]}, "equally spaced"),
        ({"GridFrameOffsetVector": [0, 2]}, "equally spaced"),
        ({"ImagePositionPatient": None}, "has no readable dose grid"),
        ({"PixelData": b"\0\0"}, "has no readable dose grid"),
        ({"NumberOfFrames": 2**31 - 1, "Rows": 65535, "Columns": 65535}, "has no readable dose grid"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "no usable dose grid"),
    ],
)
def test_bad_doses_get_one_sentence(path, values, sentence):
    with pytest.raises(BadInput, match=sentence):
        read_rtdose(edited(path, **values))


def test_negative_doses_are_refused(ct, tmp_path):
    with pytest.raises(ValueError, match="at least 0 Gy"):
        write_rtdose(Volume(np.full((2, 2, 2), -1.0), Geometry((2, 2, 2))), ct, tmp_path / "dose.dcm", description="")


def test_a_dose_of_zeros_is_refused(ct, tmp_path):
    """A plan that was not calculated would meet every limit of an organ."""
    write_rtdose(Volume(np.zeros((2, 2, 2)), Geometry((2, 2, 2))), ct, tmp_path / "dose.dcm", description="")
    with pytest.raises(BadInput, match="holds no dose above 0 Gy"):
        read_rtdose(tmp_path / "dose.dcm")
