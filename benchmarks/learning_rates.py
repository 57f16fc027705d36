"""Settings that decide short runs: learning rate, mirrored axes, optimiser, initial and averaged weights.

Trains the demo's stage 3 from new weights at 5×4×4 mm, with few settings changed in each run. All runs have the same
16 synthetic patients, seed, batches and budget. Four other patients validate; test patients are not used:

    python benchmarks/learning_rates.py [--out FOLDER] [--seconds 90 | --steps 100] [--runs adamw-6e-3 sgd-nnunet …]
        [--seed 0] [--plan former]

The plan is the demo's, or has the scale of CT, the outputs or both that the demo had before.
An interrupted run resumes when it is started again with the same --out. Prints Markdown.
"""

import argparse
import csv
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gynbtnet.datasets import Split, ingest, split_patients
from gynbtnet.phantom import STRUCTURES, write_brachytherapy
from gynbtnet.preparation import PreparedCohort, make_plan, prepare
from gynbtnet.recipes import load_recipe
from gynbtnet.training import SegmentationSettings, finetune, training_cost

SPACING, MATRIX = (5.0, 4.0, 4.0), (40, 72, 96)
PATIENTS, TEST = 25, 5

PLAIN = {"learning_rate": 6e-3, "initialisation": "pytorch"}
SGD = PLAIN | {"optimiser": "sgd", "schedule": "poly", "weight_decay": 3e-5}
NNUNET = SGD | {"learning_rate": 1e-2, "momentum": 0.99, "warm_up_share": 0.0}
HE = {"initialisation": "he"}
RUNS: dict[str, Mapping[str, Any]] = {
    "adamw-1e-3-zyx": PLAIN | {"learning_rate": 1e-3, "mirror_axes": ("z", "y", "x")},
    "adamw-1e-3": PLAIN | {"learning_rate": 1e-3},
    "adamw-3e-3": PLAIN | {"learning_rate": 3e-3},
    "adamw-6e-3": PLAIN,
    "adamw-1e-2": PLAIN | {"learning_rate": 1e-2},
    "adamw-1e-2-ema": PLAIN | {"learning_rate": 1e-2, "ema": 0.95},
    "adamw-3e-3-he": PLAIN | HE | {"learning_rate": 3e-3},
    "adamw-6e-3-he": PLAIN | HE,
    "adamw-6e-3-he-ema": PLAIN | HE | {"ema": 0.9},
    "adamw-6e-3-he-bf16": PLAIN | HE | {"precision": "bf16-mixed"},
    "adamw-1e-2-he": PLAIN | HE | {"learning_rate": 1e-2},
    "sgd-nnunet": NNUNET,
    "sgd-nnunet-he": NNUNET | HE,
    "sgd-1e-1-0.9": SGD | {"learning_rate": 1e-1, "momentum": 0.9},
    "sgd-1e-1-0.9-he": SGD | HE | {"learning_rate": 1e-1, "momentum": 0.9},
    "sgd-2e-1-0.9-he": SGD | HE | {"learning_rate": 2e-1, "momentum": 0.9},
}
"""Changes of the demo's stage 3, by name; ``sgd-nnunet`` has nnU-Net's optimiser and schedule."""


PLANS: dict[str, Mapping[str, Any]] = {
    "demo": {},
    "fingerprint": {"ct_scaling": None},
    "exclusive": {"outputs": "exclusive"},
    "former": {"ct_scaling": None, "outputs": "exclusive"},
}
"""Changes of the demo's plan, by name: CT scaled by mean and deviation of the structures, one structure per voxel."""


def prepared_scans(folder: Path, changes: Mapping[str, Any]) -> tuple[PreparedCohort, Split]:
    """Write two fractions of every patient, and prepare those of the patients outside of the test set.

    Args:
        folder: folder of scans, cohort and prepared scans.
        changes: changes of the demo's plan.
    """
    write_brachytherapy(folder / "source", patients=PATIENTS, fractions=2, spacing=SPACING, matrix=MATRIX)
    cohort = ingest(folder / "source", folder / "cohort", structures=STRUCTURES).cohort
    split = split_patients(cohort, TEST, 5, 0)
    pool = cohort.of_patients(set(cohort.patients).difference(split.test))
    plan = load_recipe("demo").stage("task").plan.model_copy(update={"spacing": SPACING} | dict(changes))
    return prepare(pool, make_plan(pool, plan), folder / "prepared"), split


def train(
    prepared: PreparedCohort, split: Split, changes: Mapping[str, Any], budget: Mapping[str, float], run: Path
) -> list[dict[str, str]]:
    """Train with the demo's stage 3 and its changes until the budget is used up, and return the rows of the log."""
    recipe = load_recipe("demo").stage("task").training.model_dump()
    steps = {"epochs": 1000, "steps_per_epoch": 20, "validation_interval_epochs": 1000, "checkpoint_interval_epochs": 1}
    settings = SegmentationSettings(**(recipe | steps | {"budget": budget} | dict(changes)))
    validation = prepared.ids_of(split.validation_patients(0))
    training = {case.id for case in prepared.cases} - validation
    finetune(prepared, settings, run, training_ids=training, validation_ids=validation)
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train short runs with few settings changed in each.")
    parser.add_argument("--out", type=Path, default=Path("learning_rates"))
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=float, default=90, help="CPU seconds of each training")
    budget.add_argument("--steps", type=int, help="optimiser steps of each training, instead of seconds")
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=RUNS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plan", default="demo", choices=PLANS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.out.absolute()
    prepared, split = prepared_scans(folder, PLANS[options.plan])
    amount = {"steps": options.steps} if options.steps else {"cpu_seconds": options.seconds}
    name = "-".join(f"{value:g}-{unit}" for unit, value in amount.items())
    patients = PATIENTS - TEST - len(split.validation_patients(0))
    print(f"\n{patients} patients, {name} per run, seed {options.seed}; Dice on patches of the validation patients\n")
    print(f"| run | steps | CPU s | loss of the last epoch | mean Dice | {' | '.join(prepared.structures)} |")
    print(f"|---|{'---|' * (4 + len(prepared.structures))}", flush=True)
    for title in options.runs:
        run = folder / f"{title}-{name}-{options.seed}"
        rows, cost = train(prepared, split, {**RUNS[title], "seed": options.seed}, amount, run), training_cost(run)
        dice = [float(rows[-1][f"dice_{structure}"]) for structure in prepared.structures]
        columns = (
            *(str(cost.steps), f"{cost.cpu_seconds:.0f}", f"{float(rows[-1]['loss']):.2f}"),
            *(f"{value:.2f}" for value in (statistics.fmean(dice), *dice)),
        )
        print(f"| {title} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
