"""The ablation of stages 1 and 2 in a tiny form, and its arms and statistics."""

import csv
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gynbtnet.training import PretrainingSettings, SegmentationSettings

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def module(name: str) -> Any:
    return import_module(f"pretraining_ablation.{name}")


def test_arms_have_valid_settings_and_references() -> None:
    arms, runs = module("arms"), module("runs")
    all_arms = {arm.name: arm for arm in (*arms.MAIN, *arms.TASK_VARIANTS, *arms.STAGE_1_VARIANTS)}
    assert len(all_arms) == len(arms.MAIN) + len(arms.TASK_VARIANTS) + len(arms.STAGE_1_VARIANTS)
    for arm in all_arms.values():
        assert all_arms[arm.scratch].pretraining is None
        assert arm.base in all_arms
        SegmentationSettings(**{**runs.COMMON, **runs.SEGMENTATION, **runs.TASK, **arm.settings})
        if arm.pretraining is not None:
            assert arm.pretraining.mask_cell == arm.mask_cell == all_arms[arm.scratch].mask_cell
            is_stage_1 = arm.pretraining.stage == 1
            kind = PretrainingSettings if is_stage_1 else SegmentationSettings
            own = runs.STAGE_1 if is_stage_1 else runs.SEGMENTATION
            kind(**{**runs.COMMON, **own, **arm.pretraining.settings})


def test_runs_come_in_the_order_in_which_they_are_useful() -> None:
    arms = module("arms")
    design = arms.Design(stage=100, task=60, seeds=2, confirmed=("stage 1, raw target",))
    first = [(run.arm.name, run.contoured, run.seed, run.budget) for run in arms.main_runs(design)]
    assert first[:4] == [
        ("from scratch", 2, 0, 60),
        ("stage 1", 2, 0, 60),
        ("stage 2", 2, 0, 60),
        ("from scratch", 2, 1, 60),
    ]
    controls = [(run.arm.name, run.seed, run.budget) for run in arms.control_runs(design)]
    assert controls[:2] == [("from scratch", 0, 160), ("stages 1 and 2", 0, 60)]
    runs = [run for block in arms.BLOCKS.values() for run in block(design)]
    assert len({run.folder for run in runs}) == len(runs)
    on_test = {run.arm.name for run in arms.stage_1_variants(design) if "test" in run.groups}
    assert on_test == {"stage 1, raw target"}  # no other variant is ever scored on test patients


def test_an_interval_of_many_patients_is_that_of_the_t_test() -> None:
    results = module("results")
    random = np.random.default_rng(0)
    gains = random.normal(0.05, 0.03, 40)
    scratch = {(f"P{n:02d}", seed): 0.5 + 0.1 * seed for n in range(40) for seed in range(3)}
    others = {key: value + gains[int(key[0][1:])] for key, value in scratch.items() if key != ("P03", 2)}
    cells = [results.Cell(dsc, {}, 0, 0, 0) for dsc in (others, scratch)]
    difference = results.difference(*cells)
    weights = np.full(40, 3)
    weights[3] = 2
    assert difference.mean == pytest.approx(np.average(gains, weights=weights))
    interval = stats.t.interval(0.95, 39, gains.mean(), stats.sem(gains))
    assert (difference.low, difference.high) == pytest.approx(interval, abs=0.002)
    assert (difference.better, difference.patients, difference.seeds) == (int((gains > 0).sum()), 40, 3)
    assert results.difference(cells[0], None) is None


def run_tiny(monkeypatch: pytest.MonkeyPatch, out: Path, *options: str) -> None:
    scans = module("scans")
    sizes = scans.Sizes(2, 1, 3, 1, 2, spacing=(10.0, 10.0, 10.0), matrix=(16, 32, 40), patch=(16, 32, 32))
    script = import_module("pretraining_helps")
    monkeypatch.setattr(script, "Sizes", lambda: sizes)
    amounts = ("--unit", "steps", "--stage", "1", "--task", "1", "--seeds", "1", "--blocks", "main", "control")
    monkeypatch.setattr(sys, "argv", ["pretraining_helps.py", "--out", str(out), *amounts, *options])
    script.main()


@pytest.mark.slow
def test_a_tiny_ablation_stops_resumes_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_tiny(monkeypatch, tmp_path, "--minutes", "0.0001")  # one run exceeds it
    assert "- main: 1 of 3 runs; missing: stage 1, stage 2" in capsys.readouterr().out
    run_tiny(monkeypatch, tmp_path)
    report = capsys.readouterr().out
    assert "- main: 3 of 3 runs\n- control: 2 of 2 runs\n" in report
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scored = {(row["arm"], row["budget"], row["group"]) for row in rows}
    arms = ("from scratch", "stage 1", "stage 2", "stages 1 and 2")
    groups = ("test", "validation")
    assert scored == {*((arm, "1.0", group) for arm in arms for group in groups), ("from scratch", "2.0", "test")}
    by_group = {group: {row["patient"] for row in rows if row["group"] == group} for group in groups}
    assert (len(by_group["test"]), len(by_group["validation"])) == (2, 1)
    assert not by_group["test"] & by_group["validation"]
    costs = {row["arm"]: float(row["pretraining_cpu_seconds"]) for row in rows}
    assert costs["from scratch"] == 0 < costs["stage 1"] < costs["stages 1 and 2"]
    assert (tmp_path / "curves.png").stat().st_size > 0

    with monkeypatch.context() as patched:  # nothing is trained or predicted again
        patched.setattr(module("runs"), "finetune", None)
        patched.setattr(module("runs"), "predict", None)
        run_tiny(patched, tmp_path)
    assert capsys.readouterr().out.endswith(report[report.index("### Phantom") :])
