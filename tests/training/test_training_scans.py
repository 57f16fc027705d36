"""The scans that a model has seen, in its folder and in its zip."""

from dataclasses import replace
from pathlib import Path

import pytest

from gynbtnet.imaging import Geometry
from gynbtnet.preparation import PreparedCase
from gynbtnet.runtime import BadInput
from gynbtnet.training.training_scans import TRAINING_SCANS, TrainingScans

CASE = PreparedCase(
    "a_f1", "a", Geometry((2, 2, 2)), (0.0,), True, (1,), "key", scan_digest="aa", source_digests=("x",)
)
OTHER = replace(CASE, id="b_f1", scan_digest="bb", source_digests=("y", "x"))
UNKNOWN = replace(CASE, scan_digest="", source_digests=())


def test_scans_of_all_stages(tmp_path: Path) -> None:
    first = TrainingScans.of_cases([CASE], None)
    assert first == TrainingScans(("aa",), ("x",)) and first.is_complete
    first.save(tmp_path)
    second = TrainingScans.of_cases([OTHER], tmp_path)
    assert second == TrainingScans(("aa", "bb"), ("x", "y")) and second.is_complete
    assert TrainingScans.load(tmp_path / "absent") is None


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    imported = TrainingScans.of_cases([CASE, UNKNOWN], None)
    assert imported.without_digest == 1 and not imported.is_complete
    started = TrainingScans.of_cases([CASE], tmp_path / "weights.safetensors")
    assert not started.earlier_stages_known and not started.is_complete
    assert not TrainingScans.merged([TrainingScans(("aa",)), started]).is_complete


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / TRAINING_SCANS).write_text("{")
    with pytest.raises(BadInput, match=r"training_scans\.json"):
        TrainingScans.load(tmp_path)
