import numpy as np
import pydicom
import pytest
from pydicom.fileset import FileSet

from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.series import find_series
from gynbtnet.imaging.dicom.series_selection import select_ct
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime import BadInput

SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.fixture
def three(volume, tmp_path, write_series):
    """An axial scan of 5 slices, one of 4, and a sagittal one of 7 slices."""
    array, grid = volume.array, volume.geometry
    small = Volume(array[:4], Geometry((4, 6, 7), grid.spacing))
    side = Volume(array.transpose(2, 1, 0).copy(), Geometry((7, 6, 5), direction=SAGITTAL))
    return [
        write_series(scan, tmp_path / "scans" / name, seed=seed)
        for seed, (name, scan) in enumerate({"axial": volume, "small": small, "side": side}.items())
    ]


def test_the_largest_axial_one_is_taken_and_the_others_are_reported(three, tmp_path):
    axial, small, side = three
    read = read_ct_series(tmp_path / "scans")
    assert read.series_uid == axial.series_uid
    (note,) = read.notes
    assert note.startswith("Selected the largest of 3 CT series")
    assert small.series_uid in note and side.series_uid in note and "--series" in note


def test_a_structure_set_s_and_a_user_s_choice_go_first(three, tmp_path):
    axial, small, side = three
    found = find_series(tmp_path / "scans")
    assert select_ct(found, "here", referred_uid=small.series_uid)[0].series_uid == small.series_uid
    chosen, note = select_ct(found, "here", series_uid=side.series_uid, referred_uid=small.series_uid)
    assert (chosen.series_uid, note) == (side.series_uid, None)
    assert select_ct(found, "here", referred_uid="1.2.3")[0].series_uid == axial.series_uid
    with pytest.raises(BadInput, match=rf"here has no CT series 9.9; it holds .*{axial.series_uid}"):
        select_ct(found, "here", series_uid="9.9")


def test_of_the_same_size_the_order_of_files_decides_nothing(ct, volume, tmp_path, write_series):
    other = write_series(volume, tmp_path / "other", seed=2)
    first = min(ct.series_uid, other.series_uid)
    found = find_series(tmp_path)
    assert select_ct(found, "")[0].series_uid == select_ct(found[::-1], "")[0].series_uid == first


@pytest.fixture
def disc(ct, tmp_path):
    """A medium with a DICOMDIR, and files without extension in folders that it names."""
    files = FileSet()
    for path in ct.files:
        dataset = pydicom.dcmread(path)
        dataset.PatientName = "Test^Disc"
        dataset.StudyID, dataset.SeriesNumber = "1", 1
        dataset.StudyDate, dataset.StudyTime = "20260101", "120000"
        files.add(dataset)
    files.write(tmp_path / "disc")
    files._stage["t"].cleanup()  # pydicom leaves it to the garbage collector, which warns when it pleases
    return tmp_path / "disc"


def test_a_dicomdir_is_read_as_its_folder(ct, disc):
    for source in (disc, disc / "DICOMDIR"):
        assert (read_ct_series(source).volume.array == ct.volume.array).all()


def test_a_slice_that_the_dicomdir_names_is_missed_even_at_the_end(disc):
    last = sorted(path for path in disc.rglob("*") if path.is_file() and path.name != "DICOMDIR")[-1]
    last.unlink()
    with pytest.raises(BadInput, match=r"lists 1 file.* that don.t exist, first .*copy the whole export"):
        read_ct_series(disc)


def test_a_damaged_dicomdir_is_reported(disc):
    content = (disc / "DICOMDIR").read_bytes()
    (disc / "DICOMDIR").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match="damaged or cut short"):
        read_ct_series(disc)


def test_the_ct_that_the_contours_in_its_folder_refer_to_goes_before_the_largest(three, tmp_path, names):
    axial, small, _ = three
    metadata = {"names": names, "label": "test", "description": "test", "software_version": "0"}
    for ct, name in ((small, "RS.dcm"), (axial, "RS2.dcm")):
        drawn = Volume(np.ones(ct.volume.array.shape, np.uint8), ct.volume.geometry)
        write_rtstruct(Segmentation(drawn, ("bladder",)), ct, tmp_path / "scans" / name, **metadata)
        read = read_ct_series(tmp_path / "scans")
        if ct is small:
            assert (read.series_uid, read.notes) == (small.series_uid, ())
    assert read.series_uid == axial.series_uid
    assert read.notes[0].startswith("Selected the largest of 3 CT series")  # two structure sets don't agree
    assert read_ct_series(tmp_path / "scans", referred_uid=small.series_uid).series_uid == small.series_uid
