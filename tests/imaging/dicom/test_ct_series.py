import shutil
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from scipy.spatial.transform import Rotation

from gynbtnet.imaging.dicom.ct_series import read_ct_files, read_ct_series
from gynbtnet.imaging.dicom.series import find_series
from gynbtnet.imaging.dicom.slice_geometry import SlicePlane, stack_slices
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import AIR, Volume
from gynbtnet.runtime import BadInput


def edit(path, **values):
    """Set attributes of a DICOM file; None deletes one."""
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)


def test_names_instance_numbers_and_depth_of_folders_do_not_matter(ct):
    folder = ct.files[0].parent
    for number, path in enumerate(ct.files):
        edit(path, InstanceNumber=(number * 7) % 5)
        target = folder / f"export{number % 2}" / f"slice{(number * 3) % 5}"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    (folder / "README").write_text("not DICOM")
    (folder / "empty").touch()
    read = read_ct_series(folder)
    assert np.array_equal(read.volume.array, ct.volume.array)
    assert read.volume.geometry == ct.volume.geometry
    assert [one.sop_instance_uid for one in read.slices] == [one.sop_instance_uid for one in ct.slices]


def test_other_modalities_localizers_and_screenshots_are_passed_over(ct):
    folder = ct.files[0].parent
    changes: dict[str, dict[str, Any]] = {
        "mr": {"Modality": "MR", "SeriesInstanceUID": "1.2"},
        "scout": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "Columns": 1},
        "screen": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
    }
    for name, values in changes.items():
        shutil.copy(ct.files[0], folder / name)
        edit(folder / name, **values)
    assert read_ct_series(folder).files == ct.files
    kinds = {series.modality: len(series.files) for series in find_series(folder)}
    assert kinds == {"CT": 5, "CT LOCALIZER": 1, "CT (Secondary Capture Image Storage)": 1, "MR": 1}


def test_a_folder_is_a_series_if_uids_were_emptied(ct, volume, tmp_path, write_series):
    other = write_series(volume, tmp_path / "other", seed=2)
    for path in (*ct.files, *other.files):
        edit(path, SeriesInstanceUID="")
    assert [len(series.files) for series in find_series(tmp_path)] == [5, 5]
    assert read_ct_series(tmp_path / "other").files == other.files


def test_each_slice_has_its_own_rescale(ct):
    edit(ct.files[2], RescaleSlope=2, RescaleIntercept=-1000)
    stored = ct.volume.array[2].astype(int) + 1024
    assert np.array_equal(read_ct_series(ct.files[0].parent).volume.array[2], np.maximum(stored * 2 - 1000, AIR))


def test_a_broken_slope_keeps_its_fractions(ct):
    for path in ct.files:
        edit(path, RescaleSlope=0.5)
    read = read_ct_series(ct.files[0].parent).volume.array
    assert read.dtype == np.float32
    assert np.allclose(read, (ct.volume.array.astype(float) + 1024) / 2 - 1024)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_padding_is_air(ct, implicit, signed):
    for path in ct.files:
        dataset = pydicom.dcmread(path)
        stored = np.full((6, 7), 1100, np.int16)
        stored[0, :3] = [-2000, -1990, -1980] if signed else [30000, 30010, 30020]
        dataset.PixelRepresentation = int(signed)
        dataset.add_new("PixelPaddingValue", "SS" if signed else "US", int(stored[0, 0]))
        dataset.add_new("PixelPaddingRangeLimit", "SS" if signed else "US", int(stored[0, 1]))
        dataset.PixelData = stored.tobytes()
        if signed:
            dataset.RescaleIntercept = 1500  # so that not its value, but only the padding tag makes it air
        if implicit:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dataset.save_as(path, implicit_vr=implicit, little_endian=True)
    read = read_ct_series(ct.files[0].parent).volume.array
    assert read[:, 0, :3].tolist() == [[-1024, -1024, -480 if signed else 28996]] * 5
    assert (read[:, 1:] == (2600 if signed else 76)).all()


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [12, 16])
def test_compressed_slices_read_the_same(tmp_path, write_series, syntax, signed, bits):
    array = np.random.default_rng(0).integers(-1024, 2000, (3, 40, 50)).astype(np.int16)
    ct = write_series(Volume(array, Geometry(array.shape)), tmp_path / "wide")
    for path in ct.files:
        dataset = with_sign(path, signed)
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path)
    assert np.array_equal(read_ct_series(ct.files[0].parent).volume.array, ct.volume.array)


@pytest.mark.parametrize("signed", [False, True])
def test_lossless_jpeg_reads_the_same(ct, tmp_path, signed):
    """Compress with process 14, which only GDCM can write, through SimpleITK, and put it into the slice."""
    for path in ct.files:
        dataset = with_sign(path, signed)
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "compressed.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.Execute(sitk.GetImageFromArray(dataset.pixel_array[None]))
        compressed = pydicom.dcmread(tmp_path / "compressed.dcm")
        assert compressed.file_meta.TransferSyntaxUID == JPEGLosslessSV1
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        dataset["PixelData"] = compressed["PixelData"]
        dataset.save_as(path)
    read = read_ct_series(ct.files[0].parent)
    assert np.array_equal(read.volume.array, ct.volume.array)


def with_sign(path, signed):
    """Return the slice with stored values signed around 0 or unsigned from 0."""
    dataset = pydicom.dcmread(path)
    if signed:
        dataset.PixelData = (dataset.pixel_array.astype(np.int32) - 1024).astype("<i2").tobytes()
        dataset.PixelRepresentation, dataset.RescaleIntercept = 1, 0
    return dataset


def test_bits_above_those_stored_do_not_count(ct):
    """Store twelve of sixteen bits, with overlays in the four above, as old scanners did."""
    for path in ct.files:
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelData = (stored | np.uint16(0x4000)).tobytes()
        dataset.save_as(path)
    assert np.array_equal(read_ct_series(ct.files[0].parent).volume.array, ct.volume.array)


def remove(ct, *numbers):
    for number in numbers:
        ct.files[number].unlink()


def second_series(ct):
    for path in ct.files:
        copy = path.with_suffix(".copy")
        shutil.copy(path, copy)
        edit(copy, SeriesInstanceUID="1.2.3", SeriesDescription="bone kernel")


def add_copy(ct, **values):
    shutil.copy(ct.files[0], ct.files[0].with_suffix(".copy"))
    edit(ct.files[0].with_suffix(".copy"), **values)


def no_ct(ct):
    for path in ct.files:
        edit(path, Modality="MR")


def tilt(ct):
    for number, path in enumerate(ct.files):
        edit(path, ImagePositionPatient=[-10.5, 20.25 + 0.5 * number, -30 + 3.0 * number])


def crop(path):
    dataset = pydicom.dcmread(path)
    dataset.PixelData = dataset.pixel_array[:5].tobytes()
    dataset.Rows = 5
    dataset.save_as(path)


def cut_short(ct):
    content = ct.files[1].read_bytes()
    ct.files[1].write_bytes(content[: len(content) - 40])


def damage_header(ct):
    content = ct.files[1].read_bytes()
    ct.files[1].write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"))


def two_paddings(ct):
    dataset = pydicom.dcmread(ct.files[1])
    dataset.add_new("PixelPaddingValue", "SS", [0, 1])
    dataset.save_as(ct.files[1])


def mix_patients(ct):
    for number, path in enumerate(ct.files):
        edit(path, PatientID=f"P{number // 3}", StudyInstanceUID=f"1.2.{number // 3}")


def mix_studies(ct):
    for number, path in enumerate(ct.files):
        edit(path, PatientID="", StudyInstanceUID=f"1.2.{number // 3}")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda ct: remove(ct, *range(5)), "no CT in .* no DICOM file"),
        (no_ct, r"no CT in .* \(found: MR\)"),
        (lambda ct: remove(ct, 1, 2, 3, 4), "has 1 slice; at least 2"),
        (lambda ct: remove(ct, 3), r"lacks 1 slice.*1 between -24.00 and -18.00 mm.*3.00 mm apart"),
        (lambda ct: remove(ct, 1, 2), r"lacks 2 slice"),
        (lambda ct: edit(ct.files[4], ImagePositionPatient=[0, 0, -17.2]), "unequal slice spacing: 3.00 to 3.80"),
        (lambda ct: add_copy(ct, RescaleSlope=2), "1 slice.* other pixels at the position of another, .* -30.00 mm"),
        (lambda ct: edit(ct.files[2], ImageOrientationPatient=[0, 1, 0, -1, 0, 0]), "mixes orientations .1 of 5"),
        (lambda ct: edit(ct.files[2], PixelSpacing=[1, 1]), "mixes pixel spacings"),
        (lambda ct: crop(ct.files[2]), "mixes slices of 5×7 and 6×7"),
        (lambda ct: edit(ct.files[2], Rows=60000, Columns=60000), "60000 rows and 60000 columns; expected 1 to 4096"),
        (lambda ct: [edit(path, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]) for path in ct.files], "two perpendicular"),
        (lambda ct: [edit(path, PixelSpacing=[0, 0]) for path in ct.files], "two positive lengths"),
        (tilt, "sheared by 9.5°"),
        (lambda ct: edit(ct.files[2], FrameOfReferenceUID="1.2"), "several values of FrameOfReferenceUID"),
        (lambda ct: edit(ct.files[2], PatientID="OTHER"), r"has slices of 2 patients \(PatientID\) in one series"),
        (mix_patients, "has slices of 2 patients"),
        (mix_studies, r"slices of 2 studies \(StudyInstanceUID\) in one series, and slices without a PatientID"),
        (lambda ct: edit(ct.files[2], ImagePositionPatient=None), "no usable ImagePositionPatient; expected 3"),
        (lambda ct: edit(ct.files[2], RescaleSlope=None), "no usable RescaleSlope"),
        (two_paddings, "no usable PixelPaddingValue; expected one whole number"),
        (lambda ct: edit(ct.files[2], PixelData=None), "pixels of .* can't be decoded"),
        (cut_short, "damaged or cut short"),
        (damage_header, "damaged or cut short"),
    ],
)
def test_bad_series_get_one_sentence(ct, harm, sentence):
    harm(ct)
    with pytest.raises(BadInput, match=sentence) as caught:
        read_ct_series(ct.files[0].parent)
    assert ct.patient_id not in str(caught.value).replace(str(ct.files[0].parent), "")


def test_slices_with_and_without_the_patient_id_are_of_one_patient(ct):
    edit(ct.files[0], PatientID="")
    edit(ct.files[1], PatientID=None, StudyInstanceUID="")
    edit(ct.files[2], PatientID=f" {ct.patient_id}  ")
    read = read_ct_series(ct.files[0].parent)
    assert (read.patient_id, read.study_uid, read.notes) == (ct.patient_id, ct.study_uid, ())


def test_a_scan_in_two_studies_of_one_patient_is_read_with_a_note(ct):
    for path in ct.files[3:]:
        edit(path, StudyInstanceUID="1.2.3")
    read = read_ct_series(ct.files[0].parent)
    assert np.array_equal(read.volume.array, ct.volume.array)
    assert read.study_uid == ct.study_uid
    assert [note for note in read.notes if "2 studies of one patient" in note]


@pytest.mark.parametrize("kind", [{"PatientID": "", "StudyInstanceUID": ""}, {"PatientID": ""}])
def test_an_anonymised_scan_is_read(ct, kind):
    for path in ct.files:
        edit(path, **kind)
    read = read_ct_series(ct.files[0].parent)
    assert (read.patient_id, read.notes) == ("", ())


def test_slices_that_are_there_twice_count_once(ct):
    add_copy(ct, SOPInstanceUID="1.2.3.4", InstanceNumber=9)
    read = read_ct_series(ct.files[0].parent)
    assert np.array_equal(read.volume.array, ct.volume.array)
    assert len(read.slices) == 5
    assert read.notes == ("Dropped 1 duplicate slice(s) with the same pixels.",)


def test_one_of_two_series_is_chosen_by_its_uid(ct):
    second_series(ct)
    folder = ct.files[0].parent
    assert read_ct_series(folder, ct.series_uid).files == ct.files
    assert read_ct_series(folder, "1.2.3").series_uid == "1.2.3"
    with pytest.raises(BadInput, match=r"no CT series 9.9; it holds 1.2.3"):
        read_ct_series(folder, "9.9")


def test_an_absent_folder_is_named(tmp_path):
    with pytest.raises(BadInput, match="There is no folder"):
        find_series(tmp_path / "absent")


def test_found_files_are_read_without_another_search(ct):
    (series,) = find_series(ct.files[0].parent)
    read = read_ct_files(series.files[::-1])
    assert read.files == ct.files
    assert (series.study_uid, series.patient_id) == (ct.study_uid, "P1")


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.floats(0.5, 6),
    st.tuples(*[st.floats(-300, 300)] * 3),
    st.permutations(range(6)),
)
def test_slices_in_any_order_form_the_grid_they_were_cut_from(turns, spacing, origin, order):
    direction = Rotation.from_euler("xyz", turns, degrees=True).as_matrix()
    geometry = Geometry((6, 4, 5), (spacing, 0.8, 0.7), origin, tuple(direction.ravel()))
    cosines = tuple(direction.T[:2].ravel())
    planes = [SlicePlane(tuple(geometry.to_world((z, 0, 0))), cosines, (0.8, 0.7), (4, 5)) for z in order]
    found = stack_slices(planes, "The test", Repairs())
    assert found.geometry.offset(geometry) < 1e-6
    assert [order[i] for i in found.order] == list(range(6))


POSITIONS = {
    "HFS": (1, 0, 0, 0, 1, 0),
    "HFP": (-1, 0, 0, 0, -1, 0),
    "FFS": (-1, 0, 0, 0, 1, 0),
    "FFP": (1, 0, 0, 0, -1, 0),
    "HFDL": (0, -1, 0, 1, 0, 0),
    "HFDR": (0, 1, 0, -1, 0, 0),
    "FFDL": (0, 1, 0, 1, 0, 0),
    "FFDR": (0, -1, 0, -1, 0, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": tuple(Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix().T[:2].ravel()),
}


@pytest.mark.parametrize("position", POSITIONS)
def test_every_position_of_the_patient_agrees_with_gdcm(tmp_path, write_series, position):
    """Every voxel has the same position as with GDCM in SimpleITK, from files with meaningless names."""
    row, column = np.reshape(POSITIONS[position], (2, 3))
    direction = tuple(np.stack([row, column, np.cross(row, column)], axis=1).ravel())
    array = np.random.default_rng(5).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
    ct = write_series(Volume(array, Geometry(array.shape, (2.5, 0.8, 0.7), (11, -12, 13), direction)), tmp_path / "ct")
    for path, name in zip(ct.files, "cadb", strict=True):
        edit(path, PatientPosition=position if position.isupper() else "HFS")
        path.rename(path.with_name(name))
    ours = read_ct_series(tmp_path / "ct").volume
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "ct")))
    theirs = reader.Execute()
    for z, y, x in np.ndindex(ours.array.shape):
        place = tuple(float(value) for value in ours.geometry.to_world((z, y, x)))
        index = theirs.TransformPhysicalPointToContinuousIndex(place)
        assert np.allclose(index, np.rint(index), atol=1e-3)
        assert theirs[tuple(int(value) for value in np.rint(index))] == ours.array[z, y, x]


def test_public_scans_agree_with_simpleitk(public_data):
    for folder in ("acrin_flt_breast_001/CT", "totalsegmentator_example/CT", "sts/STS_003/CT"):
        read = read_ct_series(public_data / folder)
        files = [str(path) for path in read.files]
        image = sitk.ReadImage(files)
        expected = np.maximum(sitk.GetArrayFromImage(image), AIR)
        if folder.startswith("acrin"):
            assert (sitk.GetArrayFromImage(image) == -3024).any()
        assert np.array_equal(read.volume.array, expected)
        # The positions decide: SimpleITK takes the distance of the first two slices, we the mean.
        assert np.allclose(read.volume.geometry.origin, image.GetOrigin())
        assert np.allclose(read.volume.geometry.spacing[::-1], image.GetSpacing(), atol=1e-3)
