import errno
import os
from pathlib import Path

import pytest

from gynbtnet.imaging.dicom.series import search_series
from gynbtnet.imaging.file_search import files_below, files_beside, first_files_beside


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "archive" / "deep").mkdir(parents=True)
    (tmp_path / "archive" / "deep" / "b").touch()
    (tmp_path / "archive" / "a").touch()
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "patient").symlink_to(tmp_path / "archive")
    (tmp_path / "archive" / "deep" / "back").symlink_to(tmp_path / "archive")
    (tmp_path / "cohort" / "broken").symlink_to(tmp_path / "nowhere")
    patient = tmp_path / "cohort" / "patient"
    broken = tmp_path / "cohort" / "broken"
    assert files_below(tmp_path / "cohort") == [broken, patient / "a", patient / "deep" / "b"]


def test_a_folder_that_cannot_be_read_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("closed/1.dcm", "open/2.dcm"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert files_below(tmp_path) == [tmp_path / "closed", tmp_path / "open" / "2.dcm"]
    reasons = {file.path.name: file.reason for file in search_series(tmp_path).damaged}
    assert "closed can't be read; make it readable" in reasons["closed"]


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert files_below(tmp_path) == []


def test_files_beside_a_folder_are_those_of_an_export(tmp_path: Path) -> None:
    """The scan's own files, subfolders, and neighbours with many files (other scans) are left out."""
    fraction = tmp_path / "fraction"
    wanted = [fraction / "RS.dcm", fraction / "dose" / "RD.dcm"]
    many = [fraction / "CT 2" / f"{number}.dcm" for number in range(11)]
    for path in (*wanted, *many, fraction / "CT" / "1.dcm", fraction / "dose" / "old" / "RD.dcm", tmp_path / "list"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (fraction / "broken").symlink_to(tmp_path / "nowhere")
    assert files_beside(fraction / "CT") == wanted
    assert files_beside(fraction / "CT", most=11) == sorted([*wanted, *many])


def test_first_files_beside_a_folder_are_one_of_each_neighbour(tmp_path: Path) -> None:
    for path in ("CT/1", "CT 2/2", "CT 2/1", "dose/RD", "dose/old/RD", "RS"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert first_files_beside(tmp_path / "CT") == [tmp_path / "CT 2" / "1", tmp_path / "dose" / "RD"]
