"""The benchmark of learning from corrections in a tiny form, and its scripted reviewer."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gynbtnet.phantom import STRUCTURES

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = import_module("learning_from_corrections")
    for name, patients in (("FROZEN", 1), ("TRAINING", 1), ("VALIDATION", 1)):
        monkeypatch.setattr(module, name, patients)
    yield module


def test_planted_errors_are_where_they_should_be(benchmark: Any) -> None:
    labels = np.zeros((10, 4, 4), np.uint8)
    bladder, rectum = (STRUCTURES.index(name) + 1 for name in ("bladder", "rectum"))
    labels[:, :2], labels[:, 2:] = bladder, rectum
    wrong = benchmark.planted(labels)
    assert [int((plane == bladder).sum()) for plane in wrong] == [8] * 6 + [0] * 4
    assert [int((plane == rectum).sum()) for plane in wrong] == [0] * 4 + [8] * 6
    assert labels.all(), "the argument is unchanged"


def test_the_reviewer_replaces_large_differences_only(benchmark: Any) -> None:
    truth = np.zeros((12, 12, 12), bool)
    truth[2:10, 2:10, 2:10] = True
    predicted = truth.copy()
    predicted[8:10] = False  # 2 slices of 10 mm are missing
    predicted[2, 5, 1] = True  # and one voxel is too much
    new = benchmark.corrected(predicted, truth, (10.0, 10.0, 10.0))
    expected = truth.copy()
    expected[2, 5, 1] = True
    assert np.array_equal(new, expected)
    assert np.array_equal(benchmark.corrected(np.zeros_like(truth), truth, (1.0, 1.0, 1.0)), truth)
    assert np.array_equal(benchmark.corrected(truth, truth, (1.0, 1.0, 1.0)), truth)


@pytest.mark.slow
def test_a_tiny_experiment_resumes(benchmark: Any, tmp_path: Path) -> None:
    design = benchmark.Design(rounds=1, new=3, reviews=2, first_steps=2, round_steps=1)
    assert benchmark.run_all(design, [0], tmp_path, stop_after=0) == []
    rows = benchmark.run_all(design, [0], tmp_path)
    assert [(row.arm, row.round) for row in rows] == [(arm, n) for arm in ("active", "random") for n in (0, 1)]
    first, learned = rows[:2]
    assert (first.reviewed_share, first.corrected, first.promoted) == (None, 0, False)
    assert 0 < learned.reviewed_share <= 1 and learned.corrected > 0
    assert not learned.promoted, "a single frozen test patient decides nothing"
    assert learned.dsc == first.dsc, "so the champion is the first model"
    models = list(tmp_path.glob("seed-0/*/learned/rounds/round-1/model/learned_from.json"))
    assert len(models) == 2
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert benchmark.run_all(design, [0], tmp_path) == rows
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == before
    table = (tmp_path / "table.md").read_text()
    assert table.count("\n| 1 |") == 2 and "0 of 1" in table
    assert len((tmp_path / "rounds.csv").read_text().splitlines()) == 5
