"""Two processes that talk through gloo, as two GPUs would through NCCL."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gynbtnet.preparation.store import PreparedCohort
from gynbtnet.training.settings import PretrainingSettings
from gynbtnet.training.stages import pretrain

SETTINGS = PretrainingSettings(epochs=2, steps_per_epoch=1, learning_rate=1e-3, checkpoint_every=1)

# double precision, which no recipe offers: rounding alone turns the sign of gradients that are zero, and Adam's steps
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from gynbtnet.preparation.store import PreparedCohort
from gynbtnet.training.settings import PretrainingSettings
from gynbtnet.training.stages import pretrain

folder, out, settings, precision = sys.argv[1:]
prepared = PreparedCohort.open(Path(folder))
prepared = replace(prepared, plan=replace(prepared.plan, batch_size=1))
settings = PretrainingSettings.model_validate_json(settings).model_copy(update={"devices": 2, "precision": precision})
everyone = [case.id for case in prepared.cases]
pretrain(prepared, settings, Path(out), training_ids=everyone, validation_ids=[])
"""


def on_two(prepared: PreparedCohort, folder: Path, settings: PretrainingSettings, precision: str) -> tuple[Path, str]:
    """Train in two processes, each with batches of one; the run, and what was said meanwhile."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, prepared.folder, folder / "two", settings.model_dump_json(), precision]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return folder / "two", ended.stderr


def logged(run: Path, column: str) -> list[float]:
    with (run / "log.csv").open(newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def test_two_processes_train_as_one_with_the_double_batch(prepared: PreparedCohort, tmp_path: Path) -> None:
    """To the running statistics of batch norm, which are of the voxels in both; with all that could differ."""
    settings = SETTINGS.model_copy(update={"norm": "batch", "decoder": "unet", "accumulate": 2, "recompute": True})
    two, said = on_two(prepared, tmp_path, settings, "64-true")
    assert said.count("Pretraining ") == 1
    double: Any = {"precision": "64-true"}
    everyone = [case.id for case in prepared.cases]
    alone = settings.model_copy(update=double)
    one = pretrain(prepared, alone, tmp_path / "one", training_ids=everyone, validation_ids=[])
    assert logged(two, "loss") == pytest.approx(logged(one, "loss"), rel=1e-5)  # six digits are logged
    weights, expected = (load_file(run / "weights_last.safetensors") for run in (two, one))
    assert any("running_mean" in name for name in expected)
    for name, values in expected.items():
        torch.testing.assert_close(weights[name], values, rtol=0, atol=1e-7)
