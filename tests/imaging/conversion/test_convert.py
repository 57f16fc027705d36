import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from gynbtnet.imaging.conversion.convert import convert
from gynbtnet.imaging.conversion.options import Conversion
from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.seg_reader import read_seg
from gynbtnet.imaging.files.label_names import (
    label_names_file,
    names_are_in_use,
    read_label_names,
    write_label_names,
)
from gynbtnet.imaging.files.volume_files import read_volume, write_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.resample_to_grid import resample_dose
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime import BadInput

FIVE = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
IMAGES = ["scan.nii.gz", "scan.nii", "scan.nrrd", "scan.mha"]


@pytest.fixture
def labels(ct, tmp_path):
    """Return a label map with a file of names, on the grid of the CT."""
    array = np.random.default_rng(4).integers(0, 6, ct.volume.array.shape).astype(np.uint8)
    write_volume(Volume(array, ct.volume.geometry), tmp_path / "labels.nii.gz")
    write_label_names(tmp_path / "labels.nii.gz", FIVE)
    return tmp_path / "labels.nii.gz"


@pytest.fixture
def how(ct):
    return Conversion(ct=ct.files[0].parent, contour_style="exact")


@pytest.mark.parametrize("name", IMAGES)
def test_a_ct_becomes_an_image_and_a_ct_again(ct, tmp_path, name):
    convert([ct.files[0].parent], tmp_path / name, Conversion())
    image = read_volume(tmp_path / name)
    assert np.array_equal(image.array, ct.volume.array)
    assert ct.volume.geometry.is_same(image.geometry)
    convert([tmp_path / name], tmp_path / "again", Conversion())
    again = read_ct_series(tmp_path / "again")
    assert np.array_equal(again.volume.array, ct.volume.array)
    assert ct.volume.geometry.is_same(again.volume.geometry)
    assert again.series_uid != ct.series_uid


def test_two_images_become_two_series(ct, tmp_path):
    for number in (1, 2):
        write_volume(replace(ct.volume, array=ct.volume.array + np.int16(number)), tmp_path / f"{number}.mha")
        convert([tmp_path / f"{number}.mha"], tmp_path / f"ct{number}", Conversion())
    one, two = (read_ct_series(tmp_path / f"ct{number}") for number in (1, 2))
    assert one.series_uid != two.series_uid
    assert one.frame_of_reference_uid != two.frame_of_reference_uid


def test_contours_go_round_through_every_form(ct, labels, how, tmp_path, names):
    truth = read_volume(labels).array
    convert([labels], tmp_path / "RS.dcm", how)
    convert([tmp_path / "RS.dcm"], tmp_path / "SEG.dcm", how, to="seg")
    convert([tmp_path / "SEG.dcm"], tmp_path / "back.nrrd", how)
    convert([tmp_path / "back.nrrd"], tmp_path / "RS2.dcm", how)
    convert([tmp_path / "RS2.dcm"], tmp_path / "end.mha", how)
    assert np.array_equal(read_rtstruct(tmp_path / "RS.dcm", ct, FIVE, names)[0].labels.array, truth)
    assert np.array_equal(read_seg(tmp_path / "SEG.dcm", ct, FIVE, names)[0].labels.array, truth)
    assert np.array_equal(read_volume(tmp_path / "end.mha").array, truth)
    assert read_label_names(tmp_path / "back.nrrd") == read_label_names(tmp_path / "end.mha") == FIVE
    assert pydicom.dcmread(tmp_path / "RS.dcm").StructureSetROISequence[0].ROIGenerationAlgorithm == ""
    assert pydicom.dcmread(tmp_path / "SEG.dcm").SegmentSequence[0].SegmentAlgorithmType == "MANUAL"


def test_only_the_structures_wanted_are_taken_and_the_rest_is_reported(ct, labels, how, tmp_path):
    convert([labels], tmp_path / "RS.dcm", how)
    some = replace(how, structures=("rectum", "hr_ctv", "spleen"))
    notes = convert([tmp_path / "RS.dcm"], tmp_path / "some.nii.gz", some)
    truth = read_volume(labels).array
    expected = np.zeros_like(truth)
    expected[truth == 3], expected[truth == 1] = 1, 2
    assert np.array_equal(read_volume(tmp_path / "some.nii.gz").array, expected)
    assert notes[0] == "The file has no contours of spleen."
    others = "“Bladder” (bladder), “Colon_Sigmoid” (sigmoid), “Uterus” (uterus)"
    assert notes[1:] == (f"Omitted {others}: not among the requested structures.",)


def test_labels_in_another_order_of_axes_are_rotated_and_on_another_grid_resampled_if_allowed(
    ct, labels, how, tmp_path, names
):
    truth = read_volume(labels)
    z, y, x = truth.array.shape
    grid = truth.geometry
    axes = np.asarray(grid.direction).reshape(3, 3)
    turned = Geometry(
        (x, z, y),
        (grid.spacing[2], grid.spacing[0], grid.spacing[1]),
        tuple(grid.to_world((z - 1, 0, 0))),
        tuple(np.stack([axes[:, 1], -axes[:, 2], axes[:, 0]], axis=1).ravel()),
    )
    write_volume(Volume(truth.array[::-1].transpose(2, 0, 1), turned), tmp_path / "turned.nii.gz")
    some = replace(how, structures=FIVE)
    assert convert([tmp_path / "turned.nii.gz"], tmp_path / "RS.dcm", some) == ()
    assert np.array_equal(read_rtstruct(tmp_path / "RS.dcm", ct, FIVE, names)[0].labels.array, truth.array)

    moved = replace(grid, origin=tuple(np.add(grid.origin, (0.0, 0.0, grid.spacing[0]))))
    write_volume(Volume(truth.array, moved), tmp_path / "moved.nii.gz")
    with pytest.raises(BadInput, match=r"another grid than the CT, its voxels are up to 3 mm off .*--resample-labels"):
        convert([tmp_path / "moved.nii.gz"], tmp_path / "moved.dcm", some)
    assert not (tmp_path / "moved.dcm").exists()
    notes = convert([tmp_path / "moved.nii.gz"], tmp_path / "moved.dcm", replace(some, resample_labels=True))
    assert notes[0].startswith("Resampled the labels onto the grid of the CT")
    found = read_rtstruct(tmp_path / "moved.dcm", ct, FIVE, names)[0].labels.array
    assert np.array_equal(found[1:], truth.array[:-1])
    assert not found[0].any()


def test_doses_are_summed_on_the_scan(ct, how, tmp_path):
    grid = Geometry((4, 5, 6), (3.0, 2.0, 1.5), (-9.0, 20.5, -29.0))
    dose = Volume(np.random.default_rng(2).random(grid.shape).astype(np.float32), grid)
    write_rtdose(dose, ct, tmp_path / "RD.dcm", description="test")
    convert([tmp_path / "RD.dcm"], tmp_path / "own.nii.gz", Conversion())
    assert np.allclose(read_volume(tmp_path / "own.nii.gz").array, dose.array, atol=1e-6)
    convert([tmp_path / "RD.dcm"], tmp_path / "on-ct.nrrd", how)
    on_ct = read_volume(tmp_path / "on-ct.nrrd")
    assert np.allclose(on_ct.array, resample_dose(dose, ct.volume.geometry).array, atol=1e-6)
    convert([tmp_path / "on-ct.nrrd"], tmp_path / "again.dcm", how, to="rtdose")
    assert np.allclose(read_rtdose(tmp_path / "again.dcm").grid.array, on_ct.array, atol=1e-6)
    convert([tmp_path / "RD.dcm"], tmp_path / "RD2.dcm", how)
    assert np.allclose(read_rtdose(tmp_path / "RD2.dcm").grid.array, dose.array, atol=1e-6)


def test_an_existing_file_is_kept_unless_forced(ct, labels, how, tmp_path):
    (tmp_path / "RS.dcm").write_text("somebody's")
    with pytest.raises(BadInput, match=r"RS.dcm already exists; .* --force"):
        convert([labels], tmp_path / "RS.dcm", how)
    assert (tmp_path / "RS.dcm").read_text() == "somebody's"
    convert([labels], tmp_path / "RS.dcm", replace(how, force=True))
    assert pydicom.dcmread(tmp_path / "RS.dcm").Modality == "RTSTRUCT"
    (tmp_path / "folder").mkdir()
    for force in (False, True):
        with pytest.raises(BadInput, match=r"folder already exists and is a folder, which --force doesn't replace"):
            convert([ct.files[0].parent], tmp_path / "folder", replace(how, force=force))


def test_a_sidecar_of_another_kind_does_not_name_labels(ct, labels, how, tmp_path):
    """dcm2niix writes the acquisition as JSON next to each image (BIDS)."""
    convert([ct.files[0].parent], tmp_path / "scan.nii.gz", how)
    sidecar = label_names_file(tmp_path / "scan.nii.gz")
    sidecar.write_text(json.dumps({"Modality": "CT", "ConversionSoftware": "dcm2niix"}))
    assert read_label_names(tmp_path / "scan.nii.gz") is None
    convert([tmp_path / "scan.nii.gz"], tmp_path / "again.mha", how)
    assert np.array_equal(read_volume(tmp_path / "again.mha").array, ct.volume.array)
    assert names_are_in_use(tmp_path / "scan.nrrd", FIVE)
    with pytest.raises(BadInput, match=r"scan.json already exists"):
        convert([labels], tmp_path / "scan.nrrd", how)
    for content in ("[]", "3", '{"labels": 3}', "no JSON"):
        sidecar.write_text(content)
        with pytest.raises(BadInput, match="does not name labels"):
            read_label_names(tmp_path / "scan.nii.gz")


def test_names_of_other_labels_are_kept_unless_forced(labels, how, tmp_path):
    (tmp_path / "copy.json").write_text("of another file")
    convert([labels], tmp_path / "RS.dcm", how)
    with pytest.raises(BadInput, match=r"copy.json already exists; .* --force"):
        convert([tmp_path / "RS.dcm"], tmp_path / "copy.nii.gz", how)
    assert (tmp_path / "copy.json").read_text() == "of another file"
    assert not (tmp_path / "copy.nii.gz").exists()
    convert([tmp_path / "RS.dcm"], tmp_path / "copy.nii.gz", replace(how, force=True))
    assert read_label_names(tmp_path / "copy.nii.gz") == FIVE


def test_names_of_a_lost_or_equal_label_map_are_written_again(labels, how, tmp_path):
    """Only a label map that is still there, with other names, would lose its meaning."""
    convert([labels], tmp_path / "RS.dcm", how)
    again = tmp_path / "again.nii.gz"
    convert([tmp_path / "RS.dcm"], again, how)
    again.unlink()
    write_label_names(again, ("another",))
    convert([tmp_path / "RS.dcm"], again, how)
    assert read_label_names(again) == FIVE
    convert([tmp_path / "RS.dcm"], tmp_path / "again.nrrd", how)
    write_label_names(again, ("another",))
    with pytest.raises(BadInput, match=r"again.json already exists; .* --force"):
        convert([tmp_path / "RS.dcm"], tmp_path / "again.mha", how)
    assert not (tmp_path / "again.mha").exists()


def test_labels_that_resampling_loses_are_reported(ct, labels, how, tmp_path):
    """Half of the first structure is moved off the scan; if all of every structure is, it is another scan's."""
    array = np.zeros(ct.volume.array.shape, np.uint8)
    array[:, :, 2:4], array[:, :, 6:8] = 1, 2
    axis = np.asarray(ct.volume.geometry.direction).reshape(3, 3)[:, 0] * ct.volume.geometry.spacing[2]
    for voxels in (-3, -array.shape[2]):
        origin = tuple(np.asarray(ct.volume.geometry.origin) + voxels * axis)
        write_volume(Volume(array, replace(ct.volume.geometry, origin=origin)), tmp_path / "moved.nii.gz")
        options = replace(how, structures=("bladder", "rectum"), resample_labels=True)
        if voxels == -3:
            notes = convert([tmp_path / "moved.nii.gz"], tmp_path / "RS.dcm", options)
            assert notes[1:] == ("50 % of bladder is outside of the scan and was lost.",)
            continue
        with pytest.raises(BadInput, match=r"moved.nii.gz has no structure within the scan"):
            convert([tmp_path / "moved.nii.gz"], tmp_path / "RS2.dcm", options)
        assert not (tmp_path / "RS2.dcm").exists()


def test_a_dose_that_does_not_cover_the_scan_is_reported(ct, tmp_path):
    grid = ct.volume.geometry
    half = Volume(np.full((grid.shape[0], grid.shape[1], grid.shape[2] // 2), 7, np.float32), grid.cropped(
        (slice(None), slice(None), slice(0, grid.shape[2] // 2))
    ))  # fmt: skip
    far = replace(half, geometry=replace(half.geometry, origin=(900.0, 900.0, 900.0)))
    write_rtdose(half, ct, tmp_path / "half.dcm", description="test")
    write_rtdose(far, ct, tmp_path / "far.dcm", description="test")
    with_ct = Conversion(ct=ct.files[0].parent)
    (note,) = convert([tmp_path / "half.dcm"], tmp_path / "half.nrrd", with_ct)
    share = 1 - (grid.shape[2] // 2) / grid.shape[2]
    assert note.startswith(f"Up to {100 * share:.2g} % of the voxels are outside of a dose grid")
    assert convert([tmp_path / "half.dcm"], tmp_path / "own.nrrd", Conversion()) == ()
    with pytest.raises(BadInput, match=r"far.dcm has no dose within the grid of the result"):
        convert([tmp_path / "far.dcm"], tmp_path / "far.nrrd", with_ct)
    assert not (tmp_path / "far.nrrd").exists()


def test_an_image_that_is_no_ct_is_refused_and_nothing_is_written(ct, tmp_path):
    one = Volume(ct.volume.array[:1], ct.volume.geometry.cropped((slice(0, 1), slice(None), slice(None))))
    high = replace(ct.volume, array=np.full(ct.volume.array.shape, 40_000, np.int32))
    for name, image, sentence in (("one", one, "single slice"), ("high", high, "values up to 40000; expected a CT")):
        write_volume(image, tmp_path / f"{name}.nii.gz")
        with pytest.raises(BadInput, match=rf"{name}.nii.gz has .*{sentence}"):
            convert([tmp_path / f"{name}.nii.gz"], tmp_path / name, Conversion())
        assert not (tmp_path / name).exists()


def test_what_cannot_be_converted_is_refused_in_one_sentence(ct, labels, how, tmp_path):
    folder = ct.files[0].parent
    convert([labels], tmp_path / "RS.dcm", how)
    for source, out, options, to, sentence in [
        ([], "x.nrrd", how, None, "nothing to convert"),
        ([folder, folder], "x.nrrd", how, None, "2 sources are given; only RTDOSE"),
        ([tmp_path / "absent.dcm"], "x.nrrd", how, None, "There is no file"),
        ([ct.files[0]], "x.nrrd", how, None, "is of modality CT; .* folder with all slices of a CT"),
        ([folder], "x.nrrd", how, "rtstruct", "holds a scan, which can't be converted to “rtstruct”"),
        ([folder], "x.dcm", how, "image", "have the name of an image file"),
        ([folder], "x.dcm", how, "ct", "has the name of a file"),
        ([tmp_path / "RS.dcm"], "x.nrrd", replace(how, ct=None), None, "requires the CT .* --ct"),
        ([tmp_path / "RS.dcm"], "x.dcm", how, "rtdose", "holds contours, which can't be converted to “rtdose”"),
        ([labels], "x.dcm", replace(how, structures=FIVE[:2]), None, "values from 0 to 5; expected the labels 0 to 2"),
    ]:
        with pytest.raises(BadInput, match=sentence):
            convert(source, tmp_path / out, options, to)  # type: ignore[arg-type]
        assert not (tmp_path / out).exists()
    label_names_file(labels).unlink()
    with pytest.raises(BadInput, match=r"The meaning of the labels .* is unknown.* --structures"):
        convert([labels], tmp_path / "x.dcm", how, to="seg")
    for text in ("no json", '{"labels": {"background": 0, "bladder": 2}}', '{"labels": 3}'):
        label_names_file(labels).write_text(text)
        with pytest.raises(BadInput, match=r"labels.json (does not name|names the labels)"):
            convert([labels], tmp_path / "x.dcm", how)


def test_a_corrected_prediction_has_the_names_of_its_prediction_json(ct, labels, how, tmp_path):
    """3D Slicer saves the corrected labels under another name in the same folder."""
    corrected = tmp_path / "prediction" / "corrected.nii.gz"
    corrected.parent.mkdir()
    write_volume(read_volume(labels), corrected)
    with pytest.raises(BadInput):
        convert([corrected], tmp_path / "RS.dcm", how, to="rtstruct")
    (corrected.parent / "prediction.json").write_text(json.dumps({"structures": FIVE}))
    convert([corrected], tmp_path / "RS.dcm", how)
    assert {roi.ROIName for roi in pydicom.dcmread(tmp_path / "RS.dcm").StructureSetROISequence} >= {"Bladder"}
    (corrected.parent / "prediction.json").write_text("{}")
    with pytest.raises(BadInput, match=r"prediction\.json is damaged"):
        convert([corrected], tmp_path / "RS2.dcm", how)


@pytest.mark.parametrize("patient_id", ["Secret", ""])
def test_a_note_says_that_the_ct_is_of_another_patient(ct, labels, how, tmp_path, patient_id):
    write_rtdose(Volume(np.full((3, 4, 5), 7.0), ct.volume.geometry.cropped((slice(3), slice(4), slice(5)))), ct,
        tmp_path / "RD.dcm", description="test",
    )  # fmt: skip
    convert([labels], tmp_path / "RS.dcm", how)
    convert([labels], tmp_path / "SEG.dcm", how, to="seg")
    for name in ("RS", "SEG", "RD"):
        path = tmp_path / f"{name}.dcm"
        before = convert([path], tmp_path / f"{name}.nrrd", how)
        file = pydicom.dcmread(path)
        file.PatientID = patient_id  # an empty one doesn't identify a patient
        file.save_as(path)
        added = set(convert([path], tmp_path / f"{name} again.nrrd", how)).difference(before)
        expected = f"{path} has another PatientID than the CT. Check that both are of one patient."
        assert added == ({expected} if patient_id else set())
