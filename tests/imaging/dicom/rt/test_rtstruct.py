import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.imaging.dicom.objects import lenient_pydicom
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_rois import list_rois
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
from gynbtnet.imaging.dicom.series import find_series
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import Overlap
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime import BadInput

from ...conftest import AXIS_DIRECTIONS

FIVE = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")


def segmented(ct, seed=0, structures=FIVE):
    labels = np.random.default_rng(seed).integers(0, len(structures) + 1, ct.volume.array.shape).astype(np.uint8)
    return Segmentation(Volume(labels, ct.volume.geometry), structures)


def write(segmentation, ct, path, names, **options):
    metadata = {"label": "GynBTNet 0.1", "description": "GynBTNet contours", "software_version": "0.1.0"}
    write_rtstruct(segmentation, ct, path, names=names, **{**metadata, **options})
    return path


@pytest.fixture
def rtstruct(ct, tmp_path, names):
    return write(segmented(ct), ct, tmp_path / "RS.dcm", names)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(26))
def test_the_publishers_masks_are_ours_voxel_for_voxel(public_data, names, number):
    folder = sorted((public_data / "sts").glob("STS_*"))[number]
    found, report = read_rtstruct(folder / "RS.dcm", read_ct_series(folder), ("GTV_Mass_CT",), names)
    expected = read_volume(folder / "reference_mask.nii.gz")
    assert np.array_equal(found.labels.array, expected.array)
    assert found.labels.geometry.offset(expected.geometry) < 0.01
    assert (report.rois, report.missing, report.unmapped) == ({"GTV_Mass_CT": "GTV_Mass_CT"}, (), ())


def test_a_public_mask_comes_back_from_our_file(public_data, tmp_path, names):
    ct = read_ct_series(public_data / "sts" / "STS_003")
    labels = read_volume(public_data / "sts" / "STS_003" / "reference_mask.nii.gz").array
    segmentation = Segmentation(Volume(labels, ct.volume.geometry), ("GTV_Mass_CT",))
    found, _ = read_rtstruct(write(segmentation, ct, tmp_path / "RS.dcm", names), ct, ("GTV_Mass_CT",), names)
    assert np.array_equal(found.labels.array, labels)


def test_masks_come_back_through_files_in_every_orientation(tmp_path, write_series, names, axis_direction):
    geometry = Geometry((3, 5, 6), (3, 0.7, 0.9), (5, -6, 7), axis_direction)
    ct = write_series(Volume(np.zeros(geometry.shape), geometry), tmp_path / "ct")
    segmentation = segmented(ct, structures=("bladder",))  # with holes, islands and single voxels, up to the border
    for contour_style in ("smooth", "exact"):
        for hole_style in ("keyhole", "inner"):
            path = write(
                segmentation,
                ct,
                tmp_path / "RS.dcm",
                names,
                contour_style=contour_style,
                hole_style=hole_style,
                force=True,
            )
            found, _ = read_rtstruct(path, ct, ("bladder",), names)
            assert np.array_equal(found.labels.array, segmentation.labels.array), (contour_style, hole_style)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    direction=st.sampled_from(AXIS_DIRECTIONS),
    mask=arrays.arrays(np.uint8, (3, 6, 7), elements=st.sampled_from([0, 1])),
    contour_style=st.sampled_from(["smooth", "exact"]),
    hole_style=st.sampled_from(["keyhole", "inner"]),
)
def test_any_mask_comes_back_from_any_orientation(
    tmp_path_factory, write_series, names, direction, mask, contour_style, hole_style
):
    """Holes, islands, single voxels, the border: everything that hypothesis finds."""
    folder = tmp_path_factory.mktemp("turned")
    geometry = Geometry(mask.shape, (3, 0.7, 0.9), (5, -6, 7), direction)
    ct = write_series(Volume(np.zeros(geometry.shape), geometry), folder / "ct")
    labels = mask | (np.arange(mask.size).reshape(mask.shape) == mask.size - 1)  # at least the last corner
    segmentation = Segmentation(Volume(labels, ct.volume.geometry), ("bladder",))
    path = write(segmentation, ct, folder / "RS.dcm", names, contour_style=contour_style, hole_style=hole_style)
    assert np.array_equal(read_rtstruct(path, ct, ("bladder",), names)[0].labels.array, labels)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    turns=st.tuples(*[st.floats(-180, 180)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    contour_style=st.sampled_from(["smooth", "exact"]),
    hole_style=st.sampled_from(["keyhole", "inner"]),
)
def test_masks_come_back_from_any_oblique_scan(ct, tmp_path, names, seed, turns, origin, contour_style, hole_style):
    direction = tuple(Rotation.from_euler("xyz", turns, degrees=True).as_matrix().ravel())
    geometry = Geometry(ct.volume.geometry.shape, (2.5, 0.47, 0.51), origin, direction)
    oblique = replace(ct, volume=Volume(ct.volume.array, geometry))
    labels = (np.random.default_rng(seed).random(geometry.shape) < 0.7).astype(np.uint8)
    segmentation = Segmentation(Volume(labels, geometry), ("bladder",))
    path = write(
        segmentation,
        oblique,
        tmp_path / "RS.dcm",
        names,
        contour_style=contour_style,
        hole_style=hole_style,
        force=True,
    )
    found, _ = read_rtstruct(path, oblique, ("bladder",), names)
    assert np.array_equal(found.labels.array, labels)


def test_contours_are_on_the_slices_of_a_repaired_scan(ct, tmp_path, names):
    """Slices at 0, 1, 2.4 and 4 on a grid of five planes: each has contours in its plane; other planes have none."""
    repaired = replace(ct, slices=tuple(replace(ct.slices[i], z=z) for i, z in enumerate((0.0, 1.0, 2.4, 4.0))))
    labels = np.zeros(ct.volume.array.shape, np.uint8)
    labels[:, 1:4, 2:5] = 1
    labels[2, 1:4, 4] = 0
    file = pydicom.dcmread(
        write(Segmentation(Volume(labels, ct.volume.geometry), ("bladder",)), repaired, tmp_path / "RS.dcm", names)
    )
    drawn = file.ROIContourSequence[0].ContourSequence
    uids = [item.ContourImageSequence[0].ReferencedSOPInstanceUID for item in drawn]
    assert uids == [one.sop_instance_uid for one in repaired.slices]
    points = [np.asarray(item.ContourData, float).reshape(-1, 3) for item in drawn]
    z = [ct.volume.geometry.to_index(corners)[:, 0] for corners in points]
    assert [float(np.round(one.mean(), 3)) for one in z] == [0, 1, 2.4, 4]
    assert max(np.ptp(one) for one in z) < 1e-3
    assert [bool(np.ptp(corners[:, 0]) < 2.5 * 0.8) for corners in points] == [False, False, True, False]


def test_a_contour_refers_to_its_frame(ct, tmp_path, names):
    frames = replace(ct, slices=tuple(replace(one, frame=5 - i) for i, one in enumerate(ct.slices)))
    file = pydicom.dcmread(write(segmented(ct), frames, tmp_path / "RS.dcm", names))
    (one, *_), geometry = file.ROIContourSequence[1].ContourSequence, ct.volume.geometry
    z = geometry.to_index(np.asarray(one.ContourData[:3], float))[0]
    assert one.ContourImageSequence[0].ReferencedFrameNumber == 5 - round(z)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_any_labels_come_back_through_files(ct, tmp_path, names, seed):
    segmentation = segmented(ct, seed)
    found, report = read_rtstruct(write(segmentation, ct, tmp_path / "RS.dcm", names, force=True), ct, FIVE, names)
    assert np.array_equal(found.labels.array, segmentation.labels.array)
    assert report.overlaps == ()


def test_it_refers_to_the_ct_and_describes_itself(ct, rtstruct):
    file = pydicom.dcmread(rtstruct)
    assert (file.StudyInstanceUID, file.FrameOfReferenceUID) == (ct.study_uid, ct.frame_of_reference_uid)
    assert (file.PatientID, file.ApprovalStatus, file.StructureSetLabel) == (
        ct.patient_id,
        "UNAPPROVED",
        "GynBTNet 0.1",
    )
    assert file.SeriesDescription == "SYNTHETIC GynBTNet contours"  # since the CT calls itself synthetic
    assert file.SeriesInstanceUID != ct.series_uid
    rois = file.StructureSetROISequence
    assert [roi.ROIName for roi in rois] == ["CTV_High", "Bladder", "Rectum", "Colon_Sigmoid", "Uterus"]
    assert {roi.ROIGenerationAlgorithm for roi in rois} == {"AUTOMATIC"}
    types = [item.RTROIInterpretedType for item in file.RTROIObservationsSequence]
    assert types == ["CTV", "ORGAN", "ORGAN", "ORGAN", "ORGAN"]
    assert list(file.ROIContourSequence[0].ROIDisplayColor) == [255, 0, 0]
    for drawing in file.ROIContourSequence:
        for contour in drawing.ContourSequence:
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            points = np.asarray(contour.ContourData, float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints
            slice_uid = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
            z = ct.volume.geometry.to_index(points)[:, 0]
            assert np.allclose(z, [one.sop_instance_uid for one in ct.slices].index(slice_uid), atol=1e-3)
            assert max(len(str(value)) for value in contour.ContourData) <= 16
    reference = read_reference(rtstruct)
    assert (reference.series_uid, reference.study_uid) == (ct.series_uid, ct.study_uid)
    assert (reference.frame_of_reference_uid, reference.patient_id) == (ct.frame_of_reference_uid, "P1")


def test_the_study_is_copied_within_the_standards_lengths(ct, tmp_path, names):
    source = pydicom.dcmread(ct.files[0])
    with lenient_pydicom():
        source.StudyID = "longer than sixteen"
    del source.AccessionNumber
    source.PatientBirthDate = "19600101"
    with lenient_pydicom():
        source.save_as(ct.files[0])
    file = pydicom.dcmread(write(segmented(ct), ct, tmp_path / "RS.dcm", names))
    assert (file.StudyID, file.AccessionNumber, file.PatientBirthDate) == ("longer than sixt", "", "19600101")


def test_an_existing_file_is_kept_unless_forced_and_each_file_is_new(ct, rtstruct, names):
    before = pydicom.dcmread(rtstruct).SOPInstanceUID
    with pytest.raises(BadInput, match=r"already exists; .* overwrite it with --force"):
        write(segmented(ct), ct, rtstruct, names)
    write(segmented(ct), ct, rtstruct, names, force=True)
    assert pydicom.dcmread(rtstruct).SOPInstanceUID != before


def test_what_cannot_be_written_is_refused(ct, tmp_path, names):
    with pytest.raises(BadInput, match="has 17 characters"):
        write(segmented(ct), ct, tmp_path / "RS.dcm", names, label="x" * 17)
    shifted = Volume(segmented(ct).labels.array, Geometry(ct.volume.array.shape))
    with pytest.raises(ValueError, match="is not on the grid"):
        write(Segmentation(shifted, FIVE), ct, tmp_path / "RS.dcm", names)
    for path in ct.files:
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = ""
        dataset.save_as(path)
    with pytest.raises(BadInput, match="lacks UIDs"):
        write(segmented(ct), read_ct_series(ct.files[0].parent), tmp_path / "RS.dcm", names)
    assert not (tmp_path / "RS.dcm").exists()


def test_an_empty_structure_is_listed_and_read_as_missing(ct, tmp_path, names):
    labels = np.zeros(ct.volume.array.shape, np.uint8)
    labels[1, 2, 3] = 1
    path = write(Segmentation(Volume(labels, ct.volume.geometry), FIVE), ct, tmp_path / "RS.dcm", names)
    found, report = read_rtstruct(path, ct, FIVE, names)
    assert len(pydicom.dcmread(path).StructureSetROISequence) == 5
    assert report.missing == FIVE[1:]
    assert np.array_equal(found.labels.array, labels)


def test_a_target_wins_over_an_organ_and_of_two_organs_the_later_one(ct, rtstruct, names):
    file = pydicom.dcmread(rtstruct)
    file.ROIContourSequence[1].ContourSequence = file.ROIContourSequence[0].ContourSequence
    file.save_as(rtstruct)
    volume = segmented(ct).volume_cm3("hr_ctv")
    for order in (("hr_ctv", "bladder"), ("bladder", "hr_ctv")):
        found, report = read_rtstruct(rtstruct, ct, order, names)
        for structure in order:
            assert np.array_equal(found.mask(structure), segmented(ct).mask("hr_ctv"))
        label = order.index("hr_ctv") + 1
        assert np.array_equal(found.labels.array, label * segmented(ct).mask("hr_ctv"))
        assert report.overlaps == (Overlap("bladder", "hr_ctv", pytest.approx(volume)),)  # type: ignore[arg-type]
        assert report.unmapped == ("Rectum", "Colon_Sigmoid", "Uterus")
    file.ROIContourSequence[2].ContourSequence = file.ROIContourSequence[0].ContourSequence
    file.save_as(rtstruct)
    for order in (("rectum", "bladder"), ("bladder", "rectum")):
        found, report = read_rtstruct(rtstruct, ct, order, names)
        assert np.array_equal(found.labels.array, 2 * segmented(ct).mask("hr_ctv"))
        assert report.overlaps == (Overlap(*order, pytest.approx(volume)),)  # type: ignore[arg-type]


def first_contour(file):
    return file.ROIContourSequence[0].ContourSequence[0]


def set_points(file, points):
    first_contour(file).ContourData = points
    first_contour(file).NumberOfContourPoints = len(points) // 3


def claim(file, points):
    first_contour(file).NumberOfContourPoints = points


def open_up(file):
    first_contour(file).ContourGeometricType = "OPEN_PLANAR"


def shift(file, mm, axis=2):
    points = np.asarray(first_contour(file).ContourData, float).reshape(-1, 3)
    set_points(file, [f"{value:.3f}" for value in np.add(points, mm * np.eye(3)[axis]).ravel()])


def lean(file):
    set_points(file, [0, 0, -30, 0, 1, -30, 1, 1, -27])


def rename(file, number, name):
    file.StructureSetROISequence[number].ROIName = name


def other_frame(file):
    for roi in file.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.3"


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda file: setattr(file, "Modality", "RTPLAN"), "is of modality RTPLAN; expected an RTSTRUCT"),
        (other_frame, "“CTV_High” is drawn in the frame of reference 1.2.3 instead of the CT's"),
        (lambda file: rename(file, 1, "HR-CTV"), "2 ROIs for hr_ctv: “CTV_High”, “HR-CTV”"),
        (lambda file: [rename(file, n, f"x{n}") for n in range(5)], "none of the requested .*“x0”, “x1”.*alias file"),
        (lambda file: setattr(file, "StructureSetROISequence", []), "its ROIs are: none"),
        (lambda file: set_points(file, [1, 2, -30, 3, 4, -30, 5]), "7 coordinates"),
        (lambda file: first_contour(file).pop("ContourData"), "and has 0; it is damaged"),
        (lambda file: shift(file, -1.6), "nearest to slice 1 of 5, is beyond the first or last slice"),
        (lambda file: shift(file, 30), "nearest to slice 5 of 5, is beyond the first or last slice"),
        (lambda file: shift(file, 20, axis=0), "Contour 1 of “CTV_High” .* slice 1 of 5, has points outside the CT's"),
        (lambda file: shift(file, -20, axis=1), "Contour 1 of “CTV_High” .* slice 1 of 5, has points outside the CT's"),
        (lean, "is not parallel to the CT's slices"),
        (open_up, "Contour 1 of “CTV_High” .*-30.00.* is of type OPEN_PLANAR"),
        (lambda file: claim(file, 2_000_000_000), "declares 2000000000 points and has"),
    ],
)
def test_bad_structure_sets_get_one_sentence(ct, rtstruct, names, harm, sentence):
    file = pydicom.dcmread(rtstruct)
    harm(file)
    file.save_as(rtstruct)
    with pytest.raises(BadInput, match=sentence) as caught:
        read_rtstruct(rtstruct, ct, FIVE, names)
    assert ct.patient_id not in str(caught.value).replace(str(rtstruct), "")


def test_all_rois_of_one_structure_are_shown_and_empty_ones_do_not_count(ct, rtstruct, names):
    file = pydicom.dcmread(rtstruct)
    rename(file, 1, "HR-CTV")
    rename(file, 2, "ctv_hr")
    file.save_as(rtstruct)
    with pytest.raises(BadInput, match="3 ROIs for hr_ctv: “CTV_High”, “HR-CTV”, “ctv_hr”"):
        read_rtstruct(rtstruct, ct, FIVE, names)
    del file.ROIContourSequence[1].ContourSequence
    for contour in file.ROIContourSequence[2].ContourSequence:  # points mark a place and enclose nothing
        contour.ContourGeometricType = "POINT"
    file.save_as(rtstruct)
    _, report = read_rtstruct(rtstruct, ct, FIVE, names)
    assert report.rois["hr_ctv"] == "CTV_High"
    assert {"bladder", "rectum"} <= set(report.missing)


def test_rois_are_listed_with_their_kinds(rtstruct):
    listed = list_rois(rtstruct)
    assert [(roi.name, roi.interpreted_type) for roi in listed][:2] == [("CTV_High", "CTV"), ("Bladder", "ORGAN")]
    assert all(roi.contours >= 5 for roi in listed)


def planes_of(file, roi=0):
    """Return the contours of a ROI, by their z."""
    found: dict[float, list[Any]] = {}
    for contour in file.ROIContourSequence[roi].ContourSequence:
        found.setdefault(float(contour.ContourData[2]), []).append(contour)
    return found


def raised(contours, mm):
    moved = copy.deepcopy(contours)
    for contour in moved:
        points = np.add(np.reshape(contour.ContourData, (-1, 3)).astype(float), [0, 0, mm])
        contour.ContourData = [f"{value:.3f}" for value in points.ravel()]
    return moved


@pytest.mark.parametrize("off", [0.0, 0.5, -1.0, 1.4])
def test_a_contour_between_slices_belongs_to_the_nearest(ct, rtstruct, names, off):
    file = pydicom.dcmread(rtstruct)
    z, contours = list(planes_of(file).items())[2]
    file.ROIContourSequence[0].ContourSequence = raised(contours, off)
    file.save_as(rtstruct)
    found, report = read_rtstruct(rtstruct, ct, FIVE[:1], names)
    expected = np.zeros(ct.volume.array.shape, bool)
    expected[2] = segmented(ct).mask("hr_ctv")[2]
    assert z == -24.0
    assert np.array_equal(found.mask("hr_ctv"), expected)
    assert [note for note in report.notes if "were moved" not in note] == []
    assert [f"{abs(off):.2f} mm off" in note for note in report.notes] == [True] * bool(off)


def test_of_several_planes_on_one_slice_the_nearest_counts_and_the_others_are_reported(ct, rtstruct, names):
    file = pydicom.dcmread(rtstruct)
    planes = list(planes_of(file).values())
    finer = [*raised(planes[0], 5.0), *planes[2], *raised(planes[4], -5.0)]  # at 2 mm, where slices are 3 mm apart
    file.ROIContourSequence[0].ContourSequence = finer
    file.save_as(rtstruct)
    found, report = read_rtstruct(rtstruct, ct, FIVE[:1], names)
    assert np.array_equal(found.mask("hr_ctv")[2], segmented(ct).mask("hr_ctv")[2])
    left_out = len(planes[0]) + len(planes[4])
    assert report.notes == (
        "Contours are up to 1.00 mm off the CT's slices; each was assigned to the nearest slice.",
        f"“CTV_High” has {left_out} contours between slices that already have nearer contours; they were omitted.",
    )


def test_an_empty_frame_of_reference_is_accepted_on_the_series_referred_to(ct, rtstruct, names):
    file = pydicom.dcmread(rtstruct)
    for roi in file.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = ""
    file.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = ""
    file.save_as(rtstruct)
    found, _ = read_rtstruct(rtstruct, ct, FIVE, names)
    assert np.array_equal(found.labels.array, segmented(ct).labels.array)
    study = file.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    file.save_as(rtstruct)
    found, _ = read_rtstruct(rtstruct, ct, FIVE, names)  # the contours still refer to its images
    assert np.array_equal(found.labels.array, segmented(ct).labels.array)
    for item in file.ROIContourSequence:
        for contour in item.ContourSequence:
            contour.ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.4"
    file.save_as(rtstruct)
    with pytest.raises(BadInput, match="frame of reference \\(unnamed\\)"):
        read_rtstruct(rtstruct, ct, FIVE, names)


@pytest.mark.parametrize("text", [b"nan", b"1e999", b"abc", b"1.5.5"])
def test_a_coordinate_that_is_no_number_is_named(ct, rtstruct, names, text):
    content = rtstruct.read_bytes()
    position = content.index(b"-30.0000")
    rtstruct.write_bytes(content[:position] + text.ljust(8) + content[position + 8 :])
    with pytest.raises(BadInput, match="not a finite number"):
        read_rtstruct(rtstruct, ct, FIVE, names)


def test_what_is_no_rtstruct_is_named(ct, tmp_path, names):
    with pytest.raises(BadInput, match="There is no file"):
        read_rtstruct(tmp_path / "absent.dcm", ct, FIVE, names)
    (tmp_path / "text.dcm").write_text("no DICOM")
    with pytest.raises(BadInput, match="is not a DICOM file; expected an RTSTRUCT"):
        read_rtstruct(tmp_path / "text.dcm", ct, FIVE, names)


def test_a_contour_of_more_than_64_kb_is_written_whole(tmp_path, write_series, names):
    comb = np.zeros((2, 60, 200), np.uint8)
    comb[:, 1:-1, 1:-1:2], comb[:, 30] = 1, 1
    ct = write_series(Volume(np.zeros(comb.shape), Geometry(comb.shape)), tmp_path / "ct")
    path = write(Segmentation(Volume(comb, ct.volume.geometry), ("comb",)), ct, tmp_path / "RS.dcm", names)
    assert pydicom.dcmread(path).ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints > 10_000
    assert np.array_equal(read_rtstruct(path, ct, ("comb",), names)[0].labels.array, comb)


def with_undefined_lengths(dataset):
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                with_undefined_lengths(item)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_an_rtstruct_cut_short_anywhere_is_reported(ct, rtstruct, names, syntax, undefined):
    file = pydicom.dcmread(rtstruct)
    list(file.iterall())
    if undefined:
        with_undefined_lengths(file)
    file.file_meta.TransferSyntaxUID = syntax
    file.save_as(rtstruct, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    whole = rtstruct.read_bytes()
    read_rtstruct(rtstruct, ct, FIVE, names)
    observations = whole.index(b"\x06\x30\x80\x00")
    end = whole.index(b"\x0e\x30\x02\x00")  # ApprovalStatus; whether it is read makes no difference
    random = np.random.default_rng(0).integers(200, end, 20).tolist()
    for length in range(observations, observations + 8):  # nothing of the contours is lost
        rtstruct.write_bytes(whole[:length])
        found, _ = read_rtstruct(rtstruct, ct, FIVE, names)
        assert np.array_equal(found.labels.array, segmented(ct).labels.array)
    for length in (*random, observations - 2, observations - 1, *range(observations + 8, observations + 14), end - 1):
        rtstruct.write_bytes(whole[:length])
        with pytest.raises(BadInput, match=r"cut short|is of modality unknown"):
            read_rtstruct(rtstruct, ct, FIVE, names)


def test_an_rtstruct_cut_before_its_modality_is_not_passed_over(rtstruct):
    whole = rtstruct.read_bytes()
    rtstruct.write_bytes(whole[: whole.index(b"\x08\x00\x60\x00")])
    with pytest.raises(BadInput, match="cut short"):
        find_series(rtstruct.parent)


def test_a_public_rtstruct_cut_at_half_is_reported(public_data, tmp_path, names):
    content = (public_data / "sts" / "STS_003" / "RS.dcm").read_bytes()
    (tmp_path / "RS.dcm").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match="cut short"):
        read_rtstruct(tmp_path / "RS.dcm", read_ct_series(public_data / "sts" / "STS_003"), ("GTV_Mass_CT",), names)


def test_a_name_with_line_breaks_stays_one_sentence(ct, rtstruct, names):
    file = pydicom.dcmread(rtstruct)
    with lenient_pydicom():
        rename(file, 0, "HR-CTV\n\x1b[31m" + "x" * 999)
        file.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"
        file.save_as(rtstruct)
    with pytest.raises(BadInput) as caught:
        read_rtstruct(rtstruct, ct, ("spleen",), names)
    assert "HR-CTV ?[31m" in str(caught.value)
    assert len(str(caught.value)) < 600
