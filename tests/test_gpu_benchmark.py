"""The benchmark for a GPU in its tiny form on a CPU: every step runs, and an interrupted one leaves its rows."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPT = """
import sys, time
import gpu

out = sys.argv[1]
sys.argv = ["gpu.py", "--out", out + "/tiny", "--tiny"]
gpu.main()
assert sum(limit for _, limit in gpu.STEPS.values()) <= 480, "together eight minutes"

def endless(run):
    run.report("n", 1.5, "s")
    time.sleep(600)

def failing(run):
    run.report("n", 1.5, "s")
    raise RuntimeError("no kernel image")

gpu.STEPS = {"endless": (endless, 2), "failing": (failing, 600), "short": (lambda run: run.report("n", 1.5, "s"), 600)}
assert not gpu.run_steps(gpu.Path(out), ["endless", "failing", "short"], tiny=True)

try:
    gpu.torch.cuda.is_available = lambda: False
    sys.argv = ["gpu.py", "--out", out + "/gpu"]
    gpu.main()
except SystemExit as error:
    assert error.code == 2
"""
"""Both runs in one process, because importing everything takes longer than they do."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gpu")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), *sys.path])}
    command = [sys.executable, "-c", SCRIPT, str(out)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}{logs(out / 'tiny')}"
    assert "--tiny runs all steps on a CPU" in ended.stderr
    return out


def logs(out: Path) -> str:
    return "".join(path.read_text(encoding="utf-8")[-3000:] for path in out.glob("*.log"))


def results(out: Path) -> Any:
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def test_every_step_runs_on_a_cpu(folder: Path) -> None:
    rows = {name: result["rows"] for name, result in results(folder / "tiny").items()}
    steps = ["ceilings", "correctness", "precision", "step", "chunks", "dense", "prediction", "pretrain"]
    assert list(rows) == steps
    assert all(rows.values())
    values = {row["name"]: row["value"] for step in rows.values() for row in step}
    assert len(values) > 50
    assert values["tests passed"] > 0
    assert not {"tests failed", "failed", "its error"} & values.keys()
    assert float(values["last epoch, loss"]) > 0
    assert float(values["last epoch in float16, loss"]) > 0
    page = (folder / "tiny" / "results.md").read_text(encoding="utf-8")
    assert all(name in page for name in (*steps, *values))


def test_a_training_in_float16_is_among_the_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command on a GPU: in its own format, because a CPU refuses float16."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    gpu = import_module("gpu")
    commands: list[list[str]] = []
    monkeypatch.setattr(gpu, "call_program", lambda arguments: commands.append(arguments) or len(commands) == 3)
    gpu.end_to_end(Mock(tiny=False, rows=tmp_path / "pretrain.jsonl"))
    assert [command[0] for command in commands] == ["phantom", "pretrain", "pretrain"]
    assert "pretraining.training.precision=16-mixed" in commands[2]
    assert not any("max_grad_norm" in part or "optimiser" in part for part in commands[2])


def test_a_step_that_takes_too_long_or_fails_leaves_its_rows_and_the_others_run(folder: Path) -> None:
    outcomes = {name: result["outcome"] for name, result in results(folder).items()}
    assert outcomes == {"endless": "stopped after 2 s", "failing": "failed, see failing.log", "short": "done"}
    assert all(result["rows"] == [{"name": "n", "value": 1.5, "unit": "s"}] for result in results(folder).values())
    assert (folder / "results.md").read_text(encoding="utf-8").count("| n | 1.5 s |") == 3
    assert "no kernel image" in (folder / "failing.log").read_text(encoding="utf-8")
