"""Settings that decide a short stage 1: initial weights, mirrored axes, learning rate.

Trains the demo's stage 1 at 5×4×4 mm, with few settings changed in each run, on the same 48 synthetic scans. All runs
have the same seed, batches and number of steps. Twelve other scans validate, with the same masks:

    python benchmarks/stage_1_settings.py [--out FOLDER] [--steps 150] [--runs pytorch-zyx he-x …] [--seed 0]

An interrupted run resumes when it is started again with the same --out. Prints Markdown.
"""

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gynbtnet.datasets import ingest
from gynbtnet.phantom import write_unlabelled
from gynbtnet.preparation import PreparedCohort, make_plan, prepare
from gynbtnet.recipes import load_recipe
from gynbtnet.training import PretrainingSettings, pretrain, training_cost

SPACING, MATRIX = (5.0, 4.0, 4.0), (40, 72, 96)
SCANS, VALIDATION = 60, 12

HE, X = {"initialisation": "he"}, {"mirror_axes": ("x",)}
RUNS: dict[str, Mapping[str, Any]] = {
    "pytorch-zyx": {},
    "he-zyx": HE,
    "pytorch-x": X,
    "he-x": HE | X,
    "he-x-1e-3": HE | X | {"learning_rate": 1e-3},
    "he-x-1e-2": HE | X | {"learning_rate": 1e-2},
}
"""Changes of the demo's stage 1, by name; the others have its learning rate, 3e-3."""


def prepared_scans(folder: Path) -> PreparedCohort:
    """Write and prepare the scans, without contours."""
    write_unlabelled(folder / "source", scans=SCANS, spacing=SPACING, matrix=MATRIX, realism="clinical")
    cohort = ingest(folder / "source", folder / "cohort", "scans").cohort
    plan = load_recipe("demo").stage("pretraining").plan.model_copy(update={"spacing": SPACING})
    return prepare(cohort, make_plan(cohort, plan), folder / "prepared")


def train(prepared: PreparedCohort, changes: Mapping[str, Any], steps: int, run: Path) -> float:
    """Train with the demo's stage 1 and its changes, and return the loss on the validation scans."""
    recipe = load_recipe("demo").stage("pretraining").training.model_dump()
    lengths = {"budget": {"steps": steps}, "steps_per_epoch": 10, "validation_interval_epochs": 1000}
    pictures = {"picture_interval_epochs": 1000, "validation_patches": 48}
    settings = PretrainingSettings(**(recipe | lengths | pictures | dict(changes)))
    ids = sorted(case.id for case in prepared.cases)
    pretrain(prepared, settings, run, training_ids=ids[VALIDATION:], validation_ids=ids[:VALIDATION])
    with (run / "log.csv").open(newline="") as file:
        return float(list(csv.DictReader(file))[-1]["validation_loss"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Train stage 1 for few steps, with few settings changed in each run.")
    parser.add_argument("--out", type=Path, default=Path("stage_1_settings"))
    parser.add_argument("--steps", type=int, default=150, help="optimiser steps of each training")
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=RUNS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.out.absolute()
    prepared = prepared_scans(folder)
    print(f"\n{SCANS - VALIDATION} scans, {options.steps} steps per run, seed {options.seed}\n")
    print("| run | CPU s | loss on the validation scans |")
    print("|---|---|---|", flush=True)
    for name in options.runs:
        run = folder / f"{name}-{options.steps}-{options.seed}"
        loss = train(prepared, {**RUNS[name], "seed": options.seed}, options.steps, run)
        print(f"| {name} | {training_cost(run).cpu_seconds:.0f} | {loss:.3f} |", flush=True)


if __name__ == "__main__":
    main()
