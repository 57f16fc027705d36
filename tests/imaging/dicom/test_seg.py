from dataclasses import replace
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.imaging.dicom.objects import lenient_pydicom
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.seg_reader import read_seg
from gynbtnet.imaging.dicom.seg_writer import write_seg
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.files.volume_files import read_volume, write_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime import BadInput

FIVE = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")


def segmented(ct, seed=0, structures=FIVE):
    labels = np.random.default_rng(seed).integers(0, len(structures) + 1, ct.volume.array.shape)
    return Segmentation(Volume(labels.astype(np.uint8), ct.volume.geometry), structures)


def write(segmentation, ct, path, names, **options):
    write_seg(segmentation, ct, path, names=names, description="contours", software_version="0.1.0", **options)
    return path


@pytest.fixture
def seg(ct, tmp_path, names):
    return write(segmented(ct), ct, tmp_path / "SEG.dcm", names)


def test_masks_round_trip_in_every_orientation_and_agree_with_another_library(
    tmp_path, write_series, names, axis_direction
):
    geometry = Geometry((4, 5, 6), (3.0, 0.9, 0.8), (-10.5, 20.25, -30.0), axis_direction)
    ct = write_series(Volume(np.zeros(geometry.shape, np.int16), geometry), tmp_path / "ct")
    ours = segmented(ct)
    path = write(ours, ct, tmp_path / "SEG.dcm", names)
    found, report = read_seg(path, ct, FIVE, names)
    assert np.array_equal(found.labels.array, ours.labels.array)
    assert report.rois["sigmoid"] == "Colon_Sigmoid"
    theirs = highdicom.seg.segread(path).get_volume(combine_segments=True)
    place = ct.volume.geometry.to_world(np.moveaxis(np.indices(geometry.shape), 0, -1)).reshape(-1, 3)
    index = np.rint(theirs.map_reference_to_indices(place)).astype(int)
    assert np.array_equal(theirs.array[tuple(index.T)], ours.labels.array.ravel())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_rtstruct_seg_and_nifti_have_the_same_content(ct, tmp_path, names, seed):
    ours = segmented(ct, seed)
    write(ours, ct, tmp_path / "SEG.dcm", names, force=True)
    metadata: dict[str, Any] = {"label": "test", "description": "contours", "software_version": "0.1.0"}
    write_rtstruct(ours, ct, tmp_path / "RS.dcm", names=names, contour_style="exact", force=True, **metadata)
    write_volume(ours.labels, tmp_path / "labels.nii.gz")
    from_seg, seg_report = read_seg(tmp_path / "SEG.dcm", ct, FIVE, names)
    from_rtstruct, rtstruct_report = read_rtstruct(tmp_path / "RS.dcm", ct, FIVE, names)
    assert np.array_equal(from_seg.labels.array, ours.labels.array)
    assert np.array_equal(from_rtstruct.labels.array, ours.labels.array)
    assert np.array_equal(read_volume(tmp_path / "labels.nii.gz").array, ours.labels.array)
    assert seg_report.rois == rtstruct_report.rois


def test_it_describes_itself_and_refers_to_the_ct(ct, seg):
    file = pydicom.dcmread(seg)
    assert (file.StudyInstanceUID, file.FrameOfReferenceUID) == (ct.study_uid, ct.frame_of_reference_uid)
    assert file.ReferencedSeriesSequence[0].SeriesInstanceUID == ct.series_uid
    referred = {one.ReferencedSOPInstanceUID for one in file.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred == {one.sop_instance_uid for one in ct.slices}
    assert file.SeriesDescription == "SYNTHETIC contours"
    assert file.ContentDescription == "Research use only, not reviewed"
    assert file.SegmentationType == "BINARY"
    target, bladder, *_ = file.SegmentSequence
    assert (target.SegmentLabel, target.SegmentAlgorithmType) == ("CTV_High", "AUTOMATIC")
    assert bladder.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Bladder"
    red = highdicom.color.CIELabColor.from_dicom_value(target.RecommendedDisplayCIELabValue).to_rgb()
    assert np.abs(np.subtract(red, (255, 0, 0))).max() <= 1


def test_an_empty_structure_is_listed_and_read_as_missing(ct, tmp_path, names):
    labels = np.zeros(ct.volume.array.shape, np.uint8)
    labels[2, 3, 4] = 1
    path = write(Segmentation(Volume(labels, ct.volume.geometry), FIVE), ct, tmp_path / "SEG.dcm", names)
    assert len(pydicom.dcmread(path).SegmentSequence) == 5
    found, report = read_seg(path, ct, FIVE, names)
    assert report.missing == FIVE[1:]
    assert np.array_equal(found.labels.array, labels)


def test_a_segmentation_of_a_repaired_scan_is_on_its_slices(ct, tmp_path, names):
    ct.files[2].unlink()
    repaired = read_ct_series(tmp_path / "ct", repairs=Repairs(missing_slices=True))
    ours = segmented(repaired)
    found, _ = read_seg(write(ours, repaired, tmp_path / "SEG.dcm", names), repaired, FIVE, names)
    scanned = [0, 1, 3, 4]
    assert np.array_equal(found.labels.array[scanned], ours.labels.array[scanned])


def test_a_frame_on_an_interpolated_plane_counts(ct, tmp_path, names):
    ours = segmented(ct)
    path = write(ours, ct, tmp_path / "SEG.dcm", names)
    ct.files[2].unlink()
    repaired = read_ct_series(tmp_path / "ct", repairs=Repairs(missing_slices=True))
    found, _ = read_seg(path, repaired, FIVE, names)
    assert np.array_equal(found.labels.array, ours.labels.array)


def test_label_maps_and_fractions_are_read(ct, seg, tmp_path, names):
    sources = [pydicom.dcmread(path) for path in ct.files]
    descriptions = pydicom.dcmread(seg).SegmentSequence
    described = [highdicom.seg.SegmentDescription.from_dataset(one) for one in descriptions]
    same = {
        "source_images": sources,
        "segment_descriptions": described,
        "series_instance_uid": "2.25.1",
        "series_number": 1,
        "sop_instance_uid": "2.25.2",
        "instance_number": 1,
        "manufacturer": "test",
        "manufacturer_model_name": "test",
        "software_versions": "1",
        "device_serial_number": "1",
    }
    ours = segmented(ct)
    with lenient_pydicom():
        labelmap = highdicom.seg.Segmentation(pixel_array=ours.labels.array, segmentation_type="LABELMAP", **same)
    labelmap.save_as(tmp_path / "labelmap.dcm")
    share = np.stack([ours.mask(name) for name in FIVE], axis=-1) * 0.5
    with lenient_pydicom():
        fractional = highdicom.seg.Segmentation(
            pixel_array=share, segmentation_type="FRACTIONAL", max_fractional_value=200, **same
        )
    fractional.save_as(tmp_path / "fractional.dcm")
    for name in ("labelmap.dcm", "fractional.dcm"):
        assert np.array_equal(read_seg(tmp_path / name, ct, FIVE, names)[0].labels.array, ours.labels.array)


def moved(file):
    for one in file.PerFrameFunctionalGroupsSequence:
        position = one.PlanePositionSequence[0].ImagePositionPatient
        one.PlanePositionSequence[0].ImagePositionPatient = [position[0] + 1.0, *position[1:]]


def relabelled(file):
    file.SegmentSequence[1].SegmentLabel = "HR-CTV"


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda file: setattr(file, "Modality", "RTPLAN"), "is of modality RTPLAN; expected a DICOM SEG"),
        (
            lambda file: setattr(file, "FrameOfReferenceUID", "1.2.3"),
            "frame of reference 1.2.3; expected that of the CT",
        ),
        (lambda file: file.pop("SegmentSequence"), "can't be parsed"),
        (lambda file: file.pop("PixelData"), "can't be parsed"),
        (relabelled, "2 ROIs for hr_ctv: “CTV_High”, “HR-CTV”"),
        (moved, "6×7 voxels at .* that isn't on a slice of the CT"),
    ],
)
def test_bad_segmentations_get_one_sentence(ct, seg, names, harm, sentence):
    file = pydicom.dcmread(seg)
    harm(file)
    file.save_as(seg)
    with pytest.raises(BadInput, match=sentence):
        read_seg(seg, ct, FIVE, names)


def test_a_segmentation_of_another_scan_is_refused(ct, seg, tmp_path, write_series, names):
    other = write_series(Volume(np.zeros((5, 6, 8), np.int16), Geometry((5, 6, 8))), tmp_path / "other")
    other = replace(other, frame_of_reference_uid=ct.frame_of_reference_uid)
    with pytest.raises(BadInput, match="isn't on a slice"):
        read_seg(seg, other, FIVE, names)


def test_what_cannot_be_written_is_refused(ct, seg, tmp_path, names):
    with pytest.raises(BadInput, match=r"already exists; .* --force"):
        write(segmented(ct), ct, seg, names)
    before = pydicom.dcmread(seg).SOPInstanceUID
    write(segmented(ct), ct, seg, names, force=True)
    assert pydicom.dcmread(seg).SOPInstanceUID != before
    empty = Segmentation(Volume(np.zeros(ct.volume.array.shape, np.uint8), ct.volume.geometry), FIVE)
    with pytest.raises(BadInput, match="No structure has a voxel"):
        write(empty, ct, tmp_path / "empty.dcm", names)
    with pytest.raises(BadInput, match="lacks UIDs"):
        write(segmented(ct), replace(ct, frame_of_reference_uid=""), tmp_path / "no.dcm", names)
    with pytest.raises(ValueError, match="is not on the grid"):
        elsewhere = Volume(np.ones((5, 6, 6), np.uint8), Geometry((5, 6, 6)))
        write(Segmentation(elsewhere, FIVE), ct, tmp_path / "no.dcm", names)
    assert sorted(path.name for path in tmp_path.glob("*.dcm")) == ["SEG.dcm"]
