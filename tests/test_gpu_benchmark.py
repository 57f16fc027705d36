"""The benchmark for a GPU in its tiny form on a CPU: every step runs, and an interrupted one leaves its rows."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    yield import_module("gpu")
    sys.modules.pop("gpu")


def results(out: Path) -> Any:
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_every_step_runs_on_a_cpu(gpu: Any, tmp_path: Path) -> None:
    assert gpu.run_steps(tmp_path, list(gpu.STEPS), tiny=True, share_of_limits=20), results(tmp_path)
    rows = {name: result["rows"] for name, result in results(tmp_path).items()}
    assert list(rows) == list(gpu.STEPS)
    assert all(rows.values())
    names = [row["name"] for step in rows.values() for row in step]
    assert len(names) > 50
    assert not [row for step in rows.values() for row in step if row["name"] in ("failed", "its error")]
    assert all(name in (tmp_path / "results.md").read_text(encoding="utf-8") for name in names)


def test_the_time_limits_are_eight_minutes_together(gpu: Any) -> None:
    assert sum(limit for _, limit in gpu.STEPS.values()) <= 480


def test_a_step_that_takes_too_long_is_stopped_and_the_others_run(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps are a script that writes a row and then waits, or ends."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time, pathlib\n"
        "out, step = sys.argv[2], sys.argv[4]\n"
        'row = \'{"name": "n", "value": 1.5, "unit": "s"}\\n\'\n'
        "pathlib.Path(out, step + '.jsonl').write_text(row)\n"
        "time.sleep(600 * (step == 'precision'))\n"
        "sys.exit(step == 'chunks')\n"
    )
    monkeypatch.setattr(gpu, "__file__", str(script))
    assert not gpu.run_steps(tmp_path, ["precision", "chunks", "step"], tiny=True, share_of_limits=0.2)
    outcomes = {name: result["outcome"] for name, result in results(tmp_path).items()}
    assert outcomes == {"precision": "stopped after 7 s", "chunks": "failed, see chunks.log", "step": "done"}
    assert all(result["rows"][0]["value"] == 1.5 for result in results(tmp_path).values())
    assert (tmp_path / "results.md").read_text(encoding="utf-8").count("| n | 1.5 s |") == 3
