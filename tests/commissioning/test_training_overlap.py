"""A patient of the training among the local cases is found by voxels and by files."""

from dataclasses import replace
from pathlib import Path

import pytest

from gynbtnet.commissioning.training_overlap import check_not_trained_on
from gynbtnet.datasets import Cohort
from gynbtnet.runtime import BadInput
from gynbtnet.training import TrainingScans

from .conftest import digest


def test_another_export_of_a_training_scan_is_refused(local: Cohort, tmp_path: Path) -> None:
    TrainingScans((digest(2),)).save(tmp_path)
    with pytest.raises(BadInput, match=r"1 patient .*1 scan with the same voxels, first patient-003_f1.*patient-003"):
        check_not_trained_on(local, tmp_path)


def test_files_of_the_training_are_refused(local: Cohort, tmp_path: Path) -> None:
    source = replace(local.cases[0].source, sha256={"CT": "abc"})
    cohort = replace(local, cases=(replace(local.cases[0], source=source), *local.cases[1:]))
    TrainingScans((), ("abc",)).save(tmp_path / "fold_0")
    TrainingScans((digest(5),)).save(tmp_path / "fold_1")
    with pytest.raises(BadInput, match=r"2 patients .*voxels, first patient-006_f1.*files, first patient-001_f1"):
        check_not_trained_on(cohort, tmp_path)


@pytest.mark.parametrize("name", ["fold_0", "fold_old"])
def test_scans_of_folders_that_are_no_part_of_the_model_do_not_count(local: Cohort, tmp_path: Path, name: str) -> None:
    """A model's own weights are used instead of folds next to them, and a fold has a number."""
    (tmp_path / "weights_last.safetensors").touch()
    TrainingScans((digest(2),)).save(tmp_path)
    TrainingScans(("0" * 64,)).save(tmp_path / name)
    with pytest.raises(BadInput, match="same voxels"):
        check_not_trained_on(local, tmp_path)
    (tmp_path / "weights_last.safetensors").unlink()
    if name == "fold_0":
        assert check_not_trained_on(local, tmp_path).complete
    else:
        with pytest.raises(BadInput, match="same voxels"):
            check_not_trained_on(local, tmp_path)


def test_what_was_not_compared_is_said(local: Cohort, tmp_path: Path) -> None:
    unknown = check_not_trained_on(local, tmp_path)
    assert not unknown.complete and "nobody has checked" in unknown.sentence
    TrainingScans(("0" * 64,)).save(tmp_path)
    known = check_not_trained_on(local, tmp_path)
    assert known.complete and "6 scans compared with 1 by" in known.sentence
    TrainingScans(("0" * 64,), without_digest=3, earlier_stages_known=False).save(tmp_path)
    part = check_not_trained_on(local, tmp_path)
    assert not part.complete and "3 training scans without a digest and the scans of earlier" in part.sentence
