"""Names of the predictions of image files; those of DICOM scans and cohorts are tested with the search."""

from pathlib import Path

import pytest

from gynbtnet.inference.scans.output_names import name_scans
from gynbtnet.inference.scans.scan_input import ScanFiles
from gynbtnet.runtime import BadInput


def names(*paths: str) -> list[str]:
    return list(name_scans([ScanFiles(Path(path), None) for path in paths], Path("absent")).scans)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/pelvis.nii.gz", "pelvis"),
        ("/a/imagesTr/gyn_000_0000.nii.gz", "gyn_000"),
        ("/a/patient 7/CT.nrrd", "patient 7"),
    ],
)
def test_an_image_file_gives_its_name_without_channel(path: str, name: str) -> None:
    assert names(path) == [name]


def test_files_of_equal_names_are_called_by_their_folders_too() -> None:
    assert names("/export/A/f1.nii", "/export/B/f1.nii") == ["A_f1", "B_f1"]


def test_a_scan_given_twice() -> None:
    with pytest.raises(BadInput, match="given twice"):
        names("/a/scan.nii", "/a/../a/scan.nii")


def test_images_that_differ_in_form_keep_their_suffix() -> None:
    assert names("/a/p.nrrd", "/a/p.nii.gz") == ["p.nrrd", "p.nii.gz"]
