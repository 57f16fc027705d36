import errno
from pathlib import Path

import pytest

from gynbtnet.runtime.atomic_files import atomic_write


def test_a_file_appears_whole_under_its_suffixes(tmp_path):
    path = tmp_path / "new" / "scan.nii.gz"
    with atomic_write(path) as partial:
        assert partial.name.endswith(".nii.gz")
        assert partial.parent == path.parent
        partial.write_text("half")
        assert not path.exists()
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_and_a_folder_are_replaced(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    for content in ("old", "new"):
        with atomic_write(file) as partial:
            partial.write_text(content)
        with atomic_write(folder) as partial:
            partial.mkdir()
            (partial / content).write_text(content)
    assert file.read_text() == "new"
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, error):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("old")
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(error), atomic_write(file) as partial:
        partial.write_text("half")
        raise error
    with pytest.raises(error), atomic_write(folder) as partial:
        partial.mkdir()
        (partial / "half").touch()
        raise error
    assert file.read_text() == "old"
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("below", ["", "CT/slice.dcm"])
def test_an_error_names_the_path_that_the_caller_gave(tmp_path, below):
    path = tmp_path / "export"
    with pytest.raises(OSError) as error, atomic_write(path) as partial:
        raise OSError(errno.EROFS, "Read-only file system", str(partial / below))
    assert error.value.filename == str(path / below)


def test_an_error_before_writing_names_the_path_too(tmp_path, monkeypatch):
    def refused(self, missing_ok=False):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(OSError, match="Read-only") as error, atomic_write(tmp_path / "scan.nii.gz"):
        pass
    assert error.value.filename == str(tmp_path / "scan.nii.gz")


def test_what_a_killed_run_left_is_removed(tmp_path):
    left = tmp_path / ".partial-folder"
    left.mkdir()
    (left / "half").touch()
    with atomic_write(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "whole").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "whole"]


def test_a_folder_that_is_not_writable_is_named_before_a_library_writes(tmp_path, monkeypatch):
    def refused(self, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    path = tmp_path / "scan.nii.gz"
    monkeypatch.setattr(Path, "touch", refused)  # root may write everywhere
    with pytest.raises(PermissionError) as error, atomic_write(path):
        raise RuntimeError("failed to write image")
    assert error.value.filename == str(path)
