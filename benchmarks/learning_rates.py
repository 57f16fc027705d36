"""Settings that decide short runs: learning rate, mirrored axes, optimiser, initialisation, averaged weights.

Trains the demo's stage 3 from new weights with one setting changed at a time. Every run has the same patients, seed,
batches and budget. The scans are synthetic; the scored patients are not used for training:

    python benchmarks/learning_rates.py [--out FOLDER] [--seconds 90 | --steps 100] [--runs adamw-6e-3 sgd …] [--seed 0]

An interrupted run resumes when it is started again with the same --out. Prints Markdown.
"""

import argparse
import csv
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gynbtnet.datasets import Cohort, ingest
from gynbtnet.evaluation import dice
from gynbtnet.imaging import read_volume
from gynbtnet.inference import Model, PredictionSettings, predict
from gynbtnet.phantom import STRUCTURES, write_brachytherapy
from gynbtnet.preparation import PreparedCohort, make_plan, prepare
from gynbtnet.recipes import load_recipe
from gynbtnet.training import SegmentationSettings, finetune, training_cost

SPACING, MATRIX = (5.0, 4.0, 4.0), (40, 72, 96)
LEARNING, SCORED = 16, 4
"""Patients for training, and patients on whom settings are compared."""

SGD = {"optimiser": "sgd", "schedule": "poly", "weight_decay": 3e-5}
RUNS: dict[str, dict[str, Any]] = {
    "adamw-1e-3-zyx": {"learning_rate": 1e-3, "mirror_axes": ("z", "y", "x")},
    "adamw-1e-3": {"learning_rate": 1e-3},
    "adamw-3e-3": {"learning_rate": 3e-3},
    "adamw-6e-3": {"learning_rate": 6e-3},
    "adamw-6e-3-none": {"learning_rate": 6e-3, "mirror_axes": ()},
    "adamw-6e-3-he": {"learning_rate": 6e-3, "initialisation": "he"},
    "adamw-6e-3-ema": {"learning_rate": 6e-3, "ema": 0.95},
    "adamw-1e-2": {"learning_rate": 1e-2},
    "adamw-1e-2-he": {"learning_rate": 1e-2, "initialisation": "he"},
    "sgd-nnunet": {**SGD, "learning_rate": 1e-2, "momentum": 0.99, "warm_up_share": 0.0},
    "sgd-nnunet-he": {**SGD, "learning_rate": 1e-2, "momentum": 0.99, "warm_up_share": 0.0, "initialisation": "he"},
    "sgd-1e-1-0.9": {**SGD, "learning_rate": 1e-1, "momentum": 0.9},
    "sgd-1e-1-0.9-he": {**SGD, "learning_rate": 1e-1, "momentum": 0.9, "initialisation": "he"},
}
"""Changes of the demo's stage 3, by name; ``sgd-nnunet`` has nnU-Net's optimiser and schedule."""


def write_scans(folder: Path) -> Cohort:
    """Write two fractions of every patient and return their cohort."""
    patients = LEARNING + SCORED
    write_brachytherapy(folder / "source", patients=patients, fractions=2, spacing=SPACING, matrix=MATRIX)
    return ingest(folder / "source", folder / "cohort", structures=STRUCTURES).cohort


def train(
    prepared: PreparedCohort, patients: list[str], changes: Mapping[str, Any], budget: Mapping[str, float], run: Path
) -> None:
    """Train with the demo's stage 3 and its changes, from new weights, until the budget is used up."""
    recipe = load_recipe("demo").stage("task").training.model_dump()
    steps = {"epochs": 1000, "steps_per_epoch": 10, "checkpoint_interval_epochs": 2, "budget": budget}
    settings = SegmentationSettings(**(recipe | steps | dict(changes)))
    finetune(prepared, settings, run, training_ids=prepared.ids_of(patients), validation_ids=[])


def score(model: Model, cohort: Cohort) -> dict[str, float]:
    """Return the mean DSC of each structure over the scans, predicted without mirroring."""
    dsc_by_structure: dict[str, list[float]] = {structure: [] for structure in model.structures}
    for case in cohort.cases:
        assert case.labels is not None
        truth = read_volume(case.labels).array
        settings = PredictionSettings(overlap=0.25, mirroring=False)
        labels = predict(model, read_volume(case.image), settings).labels.array
        for label, structure in enumerate(model.structures, start=1):
            dsc_by_structure[structure].append(dice(truth == label, labels == label))
    return {structure: float(np.mean(values)) for structure, values in dsc_by_structure.items()}


def last_loss(run: Path) -> float:
    """Return the mean training loss of the last two epochs."""
    with (run / "log.csv").open(newline="") as file:
        return statistics.fmean(float(row["loss"]) for row in list(csv.DictReader(file))[-2:])


def main() -> None:
    parser = argparse.ArgumentParser(description="Train short runs with one setting changed at a time.")
    parser.add_argument("--out", type=Path, default=Path("learning_rates"))
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=float, default=90, help="CPU seconds of each training")
    budget.add_argument("--steps", type=int, help="optimiser steps of each training, instead of seconds")
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=RUNS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.out.absolute()
    cohort = write_scans(folder)
    learning, scored = list(cohort.patients[:LEARNING]), cohort.patients[LEARNING:]
    pool = cohort.of_patients(learning)
    plan = load_recipe("demo").stage("task").plan.model_copy(update={"spacing": SPACING})
    prepared = prepare(pool, make_plan(pool, plan), folder / "prepared")
    amount = {"steps": options.steps} if options.steps else {"cpu_seconds": options.seconds}
    name = "-".join(f"{value:g}-{unit}" for unit, value in amount.items())
    print(f"\n{len(learning)} patients, {name} per run, seed {options.seed}, {len(scored)} patients scored\n")
    print(f"| run | steps | CPU s | last loss | mean DSC | {' | '.join(prepared.structures)} |")
    print(f"|---|{'---|' * (4 + len(prepared.structures))}", flush=True)
    for title in options.runs:
        run = folder / f"{title}-{name}-{options.seed}"
        train(prepared, learning, RUNS[title] | {"seed": options.seed}, amount, run)
        cost, dsc = training_cost(run), score(Model.load(run), cohort.of_patients(scored))
        columns = (
            *(str(cost.steps), f"{cost.cpu_seconds:.0f}", f"{last_loss(run):.2f}"),
            *(f"{value:.3f}" for value in (statistics.fmean(dsc.values()), *dsc.values())),
        )
        print(f"| {title} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
