from pathlib import Path

import pytest

from gynbtnet.inference.scans.output_names import output_names
from gynbtnet.runtime import BadInput


def test_a_scan_is_called_as_its_file_or_folder() -> None:
    assert list(output_names([Path("/a/CT"), Path("/b/scan.nii.gz")])) == ["CT", "scan"]


def test_fractions_of_two_patients_do_not_overwrite_each_other() -> None:
    scans = [Path("/export/A/fraction-1"), Path("/export/B/fraction-1")]
    assert output_names(scans) == {"A_fraction-1": scans[0], "B_fraction-1": scans[1]}


def test_a_scan_named_twice() -> None:
    with pytest.raises(BadInput, match="given twice"):
        output_names([Path("/a/CT"), Path("/a/../a/CT")])


def test_images_that_differ_in_form_keep_their_suffix() -> None:
    assert list(output_names([Path("/a/scan.nrrd"), Path("/a/scan.nii.gz")])) == ["scan.nrrd", "scan.nii.gz"]
