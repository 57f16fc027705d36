"""Stage 1 by itself, on scans as they come and on prepared ones."""

from pathlib import Path

import pytest

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.phantom.cohorts import write_unlabelled

WEIGHTS = "weights_last.safetensors"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two DICOM series and two NIfTI files, in two folders."""
    folder = tmp_path_factory.mktemp("scans")
    for name, seed in (("one", 1), ("other", 2)):
        write_unlabelled(folder / name, scans=2, spacing=(6, 5, 5), matrix=(32, 64, 80), seed=seed)
    (folder / "other" / "scan-0002.nii.gz").rename(folder / "other" / "ct-of-another.nii.gz")
    return folder


def test_scans_as_they_come_are_trained_on_as_prepared_ones(gynbtnet, scans: Path, tmp_path: Path) -> None:
    sources = (scans / "one", scans / "other")
    run = tmp_path / "run"
    for _ in range(2):  # the second call finds everything done
        ended = gynbtnet("pretrain", *sources, "smoke", "--out", run)
        assert ended.code == 0, ended.err
    assert len(Cohort.load(run / "scans" / "cohort").cases) == 4
    for arguments in (
        ("ingest", *sources, "--layout", "scans", "--out", tmp_path / "cohort"),
        ("plan", tmp_path / "cohort", "smoke", "--stage", "pretraining", "--out", tmp_path / "plan"),
        ("prepare", tmp_path / "cohort", tmp_path / "plan", "--out", tmp_path / "prepared"),
        ("pretrain", tmp_path / "prepared", "smoke", "--out", tmp_path / "again"),
    ):
        assert gynbtnet(*arguments).code == 0
    assert (run / WEIGHTS).read_bytes() == (tmp_path / "again" / WEIGHTS).read_bytes()
    mixed = gynbtnet("pretrain", tmp_path / "prepared", scans / "one", "smoke", "--out", tmp_path / "mixed")
    assert mixed.code == 2
    assert "by itself" in mixed.err
    assert not (tmp_path / "mixed").exists()


def test_folders_without_a_ct_are_refused(gynbtnet, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = gynbtnet("pretrain", tmp_path / "empty", "smoke", "--out", tmp_path / "run")
    assert ended.code == 2
    assert "no CT below" in ended.err


def test_a_recipe_of_stage_1_alone_runs_no_experiment(gynbtnet, scans: Path, tmp_path: Path) -> None:
    ended = gynbtnet("run", "pretrain", "--cohort", scans, "--out", tmp_path / "experiment")
    assert ended.code == 2
    assert "no task stage" in ended.err
