"""Cost of a training run, as its run folder records it."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json
from gynbtnet.training.run_folder import RunFolder


@dataclass(frozen=True)
class TrainingCost:
    """Computation of a training run until its last log row, and the size of its network.

    Attributes:
        steps: optimiser steps.
        cpu_seconds: CPU time of all processes, reading of patches included, without validation. None if a version that
            didn't measure it began the run.
        gpu_seconds: wall time of training multiplied by the number of GPUs; None on a CPU.
        parameters: number of values of the network that the run trains, frozen ones included. None if a version that
            didn't record it made the run.
    """

    steps: int
    cpu_seconds: float | None
    gpu_seconds: float | None
    parameters: int | None


def training_cost(run_folder: Path) -> TrainingCost:
    """Return the cost of a training run of GynBTNet, of Swin-UNETR or of a fold of nnU-Net.

    Args:
        run_folder: folder with the run's ``log.csv``.

    Returns:
        The cost, up to the last row of the log.

    Raises:
        BadInput: If the log is absent, empty or damaged.
    """
    run = RunFolder(run_folder)
    row = _last_row(run.log)
    try:
        steps, times = int(float(row["step"])), {name: _number(row, name) for name in ("cpu_seconds", "gpu_seconds")}
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{run.log} is damaged: its last row has no number of steps; train again.") from error
    environment = run.path / "environment.json"
    starts = read_json(list[dict[str, Any]], environment, "train again") if environment.is_file() else []
    parameters = next((start["parameters"] for start in reversed(starts) if "parameters" in start), None)
    return TrainingCost(steps, times["cpu_seconds"], times["gpu_seconds"], parameters)


def _last_row(log: Path) -> Mapping[str, str]:
    try:
        with log.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(
            f"{log} can't be read ({type(error).__name__}); expected the folder of a training run."
        ) from error
    if not rows:
        raise BadInput(f"{log} has no rows; expected a run that has trained for at least one epoch.")
    return rows[-1]


def _number(row: Mapping[str, str], name: str) -> float | None:
    """Return a cell as a number; None if it is absent, empty or not a number."""
    value = float(row.get(name) or math.nan)
    return None if math.isnan(value) else value
