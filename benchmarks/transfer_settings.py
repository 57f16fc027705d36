"""Settings of stage 3, from scratch and from a pretrained encoder, compared on the patients who choose settings.

Stages 1 and 2 are those of learning curves that are under way. Stage 3 is trained from scratch and from them, with few
settings changed in each run, the same patients, and the same budget. Runs are scored on the patients who choose
settings; patients held out are not used:

    gynbtnet benchmark curves --out CURVES --model gynbtnet --stop-after 120
    python benchmarks/transfer_settings.py CURVES --out FOLDER --runs scratch sgd

An interrupted run resumes when it is started again with the same --out. Prints Markdown.
"""

import argparse
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gynbtnet.datasets import Cohort, Split
from gynbtnet.experiment import Trial, TrialResult, run_trial
from gynbtnet.recipes import Recipe, load_curves
from gynbtnet.runtime import BadInput
from gynbtnet.training import Budget, SegmentationSettings

SCRATCH, ADAMW = {"learning_rate": 6e-3}, {"learning_rate": 3e-3}
SGD = {"optimiser": "sgd", "momentum": 0.9, "learning_rate": 0.1}
RUNS: dict[str, Mapping[str, Any]] = {
    "scratch": SCRATCH,
    "scratch-full-augmentation": SCRATCH | {"augmentation": "full"},
    "sgd": SGD,
    "sgd-encoder-0.1": SGD | {"encoder_learning_rate": 0.1},
    "adamw": ADAMW,
    "adamw-1e-3": {"learning_rate": 1e-3},
    "sgd-1e-2": SGD | {"learning_rate": 1e-2},
    "sgd-3e-3": SGD | {"learning_rate": 3e-3},
    "adamw-encoder-0.1": ADAMW | {"encoder_learning_rate": 0.1},
    "adamw-decoder-first": ADAMW | {"decoder_first_share": 0.2},
    "adamw-1e-3-heads-1e-2": {"learning_rate": 1e-3, "new_head_learning_rate": 10},
    "sgd-1e-2-heads-0.1": SGD | {"learning_rate": 1e-2, "new_head_learning_rate": 10},
    "adamw-full-augmentation": ADAMW | {"augmentation": "full"},
}
"""Changes of the curves' stage 3, by name; all but ``scratch…`` start from stage 2. The curves chose ``sgd``."""


def stage_2(curves: Path, seed: int) -> Path:
    """Return the run of stage 2 after stage 1 with a seed."""
    runs = [path.parent for path in sorted((curves / "stages").glob(f"supervised_seed-{seed}_*/transfer.json"))]
    finished = [run for run in runs if (run / "weights_last.safetensors").is_file()]
    if len(finished) != 1:
        raise BadInput(f"There are {len(finished)} runs of stage 2 with seed {seed} in {curves}; expected one.")
    return finished[0]


def recipe_with(changes: Mapping[str, Any], budget: Budget) -> Recipe:
    """Return the curves' recipe with changes of stage 3, and with a budget."""
    recipe = load_curves("curves").recipe
    task = recipe.stage("task")
    training = SegmentationSettings(**(task.training.model_dump() | {"budget": budget} | dict(changes)))
    return recipe.model_copy(update={"task": task.model_copy(update={"training": training})})


def by_patient(result: TrialResult) -> dict[str, float]:
    """Return the mean DSC of each patient, over structures and scans."""
    table: dict[str, list[float]] = {}
    for score in result.evaluation.scores:
        if score.is_scored:
            table.setdefault(score.patient, []).append(score.dsc)
    return {patient: statistics.fmean(values) for patient, values in table.items()}


def hd95_mm(result: TrialResult) -> float:
    """Return the mean HD95 over structures and scans, mm."""
    return statistics.fmean(score.hd95_mm for score in result.evaluation.scores if math.isfinite(score.hd95_mm))


def cells(results: list[TrialResult], first: list[dict[str, float]]) -> tuple[str, ...]:
    """Return the row of a run: a result per draw, and those of the run that it is compared with."""
    values = [by_patient(result) for result in results]
    means = [statistics.fmean(draw.values()) for draw in values]
    differences = [own[patient] - other[patient] for own, other in zip(values, first, strict=True) for patient in own]
    return (
        f"{statistics.fmean(result.cost.steps for result in results):.0f}",
        *(f"{statistics.fmean(means):.3f}", ", ".join(f"{mean:.3f}" for mean in means)),
        f"{statistics.fmean(hd95_mm(result) for result in results):.1f}",
        f"{statistics.fmean(differences):+.3f}",
        f"{sum(difference > 0 for difference in differences)} of {len(differences)}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare settings of stage 3 after a transfer.")
    parser.add_argument("curves", type=Path, help="folder of `gynbtnet benchmark curves`")
    parser.add_argument("--out", type=Path, default=Path("transfer_settings"))
    parser.add_argument("--patients", type=int, default=2, help="number of contoured patients")
    parser.add_argument("--budget", type=int, default=240, help="budget of each training")
    parser.add_argument("--unit", choices=("cpu_seconds", "steps"), default="cpu_seconds", help="unit of the budget")
    parser.add_argument("--draws", type=int, default=3, help="draws of patients, and seeds")
    parser.add_argument("--stages", type=int, default=3, help="number of seeds of stages 1 and 2")
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=RUNS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cohort, split = Cohort.load(options.curves / "cohorts" / "task"), Split.load(options.curves / "split.json")
    pool, scored = split.training_patients(0), split.validation_patients(0)
    out = options.out.absolute() / f"{options.patients}-patients_{options.budget}-{options.unit}"
    budget = Budget(**{options.unit: options.budget})
    results: dict[str, list[TrialResult]] = {name: [] for name in options.runs}
    for draw in range(options.draws):
        order = np.random.default_rng((split.seed, draw)).permutation(len(pool))
        training = tuple(sorted(pool[index] for index in order[: options.patients]))
        for name in options.runs:
            start = None if name.startswith("scratch") else stage_2(options.curves, draw % options.stages)
            trial = Trial(name, recipe_with(RUNS[name], budget), draw, training, scored, start)
            results[name].append(run_trial(trial, cohort, out / name / f"draw-{draw}", prepared=out / "prepared"))
    unit = options.unit.replace("cpu_seconds", "CPU seconds")
    print(f"\n{options.patients} contoured patients, {options.budget} {unit}, {len(scored)} patients scored\n")
    print("| run | steps | mean DSC | by draw | HD95, mm | minus the first run | patients and draws that are better |")
    print("|---" * 7 + "|")
    first = [by_patient(result) for result in results[options.runs[0]]]
    for name, own in results.items():
        print(f"| {name} | {' | '.join(cells(own, first))} |")


if __name__ == "__main__":
    main()
