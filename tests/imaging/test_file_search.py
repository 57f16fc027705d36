from pathlib import Path

from gynbtnet.imaging.file_search import files_below


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "archive" / "deep").mkdir(parents=True)
    (tmp_path / "archive" / "deep" / "b").touch()
    (tmp_path / "archive" / "a").touch()
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "patient").symlink_to(tmp_path / "archive")
    (tmp_path / "archive" / "deep" / "back").symlink_to(tmp_path / "archive")
    (tmp_path / "cohort" / "broken").symlink_to(tmp_path / "nowhere")
    patient = tmp_path / "cohort" / "patient"
    assert files_below(tmp_path / "cohort") == [patient / "a", patient / "deep" / "b"]


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert files_below(tmp_path) == []
