"""Overlapping against exclusive outputs: both are trained on one phantom cohort, with equal budgets.

Without overlaps in the cohort, a sigmoid for each structure should learn as well as a softmax over all of them. With
``--nested``, GTV-res, HR-CTV and IR-CTV nest, and the uterus contour contains the cervix. Exclusive outputs then learn
a label map in which targets cover the uterus; DSC is that of the drawn masks. Overlapping outputs get the nesting
GTV-res < HR-CTV < IR-CTV, and the last column counts the voxels that break it. The scans are synthetic, and patients
that are scored are not used for training:

    python benchmarks/overlapping_outputs.py [--out FOLDER] [--cpu-seconds 80 | --steps 200] [--seeds 1] [--nested]

With ``--experiment demo/experiment``, both are stage 3 of the demo instead: its cohort, its recipe, from its stage 2,
scored on its test patients. Then both learn in little time.

An interrupted run resumes when it is started again with the same --out. Prints Markdown.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.datasets import Cohort, Split, ingest, read_contours
from gynbtnet.evaluation import dice
from gynbtnet.experiment import Experiment
from gynbtnet.imaging import Nesting, OverlappingSegmentation, Segmentation, read_volume
from gynbtnet.inference import Model, PredictionSettings, predict
from gynbtnet.phantom import NESTED_STRUCTURES, STRUCTURES, write_brachytherapy
from gynbtnet.preparation import PlanSettings, make_plan, prepare
from gynbtnet.recipes import load_recipe
from gynbtnet.training import Budget, SegmentationSettings, finetune

TRAINING, SCORED = 8, 4
"""Number of patients, one scan each."""
PLAN = {"spacing": (5, 4, 4), "normalisation": "zscore", "patch_size": (32, 48, 48), "batch_size": 2, "preset": "XS"}
SETTINGS = {
    "steps_per_epoch": 20,
    "learning_rate": 6e-3,
    "initialisation": "he",
    "augmentation": "light",
    "mirror_axes": ("x",),
    "warm_up_share": 0.05,
    "foreground_rule": "last_of_batch",
    "supervise_coarsest": False,
    "picture_interval_epochs": 1000,
}
"""Those of the learning curves."""
NESTING = "gtv_res < hr_ctv < ir_ctv"


@dataclass(frozen=True)
class Task:
    """Patients to learn and to score, the settings of both trainings, and the run from which they start."""

    pool: Cohort
    held_out: Cohort
    plan: PlanSettings
    training: SegmentationSettings
    start: Path | None = None


def phantom_task(folder: Path, *, nested: bool) -> Task:
    """Return a task on a new phantom, from new weights."""
    structures = NESTED_STRUCTURES if nested else STRUCTURES
    write_brachytherapy(
        folder / "source",
        patients=TRAINING + SCORED,
        fractions=1,
        spacing=(5, 4, 4),
        matrix=(40, 72, 96),
        nested=nested,
    )
    cohort = ingest(folder / "source", folder / "cohort", structures=structures, allow_overlap=True).cohort
    pool, held_out = cohort.of_patients(cohort.patients[:TRAINING]), cohort.of_patients(cohort.patients[TRAINING:])
    return Task(pool, held_out, PlanSettings(**PLAN), SegmentationSettings(**SETTINGS))


def experiment_task(folder: Path) -> Task:
    """Return stage 3 of an experiment, which starts from its stage 2."""
    experiment = Experiment(folder)
    cohort, test = Cohort.load(experiment.cohort("task")), Split.load(experiment.split).test
    stage = load_recipe("demo").stage("task")
    pool = cohort.of_patients(set(cohort.patients).difference(test))
    return Task(pool, cohort.of_patients(test), stage.plan, stage.training, experiment.run("supervised"))


def train(task: Task, outputs: str, budget: Budget, seed: int, folder: Path) -> Model:
    """Train with one kind of outputs, and return the model."""
    nested = outputs == "overlapping" and "gtv_res" in task.pool.structures
    changes = {"outputs": outputs, "nesting": (NESTING,) if nested else ()}
    plan = make_plan(task.pool, task.plan.model_copy(update=changes))
    prepared = prepare(task.pool, plan, folder / f"prepared-{outputs}")
    settings = task.training.model_copy(update={"seed": seed, "budget": budget})
    run = folder / f"run-{outputs}-{describe(budget).replace(' ', '-')}-{seed}"
    training = prepared.ids_of(task.pool.patients)
    finetune(prepared, settings, run, training_ids=training, validation_ids=[], start=task.start)
    return Model.load(run, device="cpu")


def describe(budget: Budget) -> str:
    """Return a budget in words."""
    return f"{budget.steps} steps" if budget.steps else f"{budget.cpu_seconds:g} CPU seconds"


def score(model: Model, cohort: Cohort) -> tuple[dict[str, tuple[float, float]], int]:
    """Return DSC, and predicted divided by drawn volume, of each structure: means over the scans.

    The second value is the number of voxels in all scans that break the nesting of the targets.
    """
    broken = 0
    values: dict[str, list[tuple[float, float]]] = {structure: [] for structure in model.structures}
    for case in cohort.cases:
        truth = read_contours(case, model.structures)
        predicted = predict(model, read_volume(case.image), PredictionSettings(overlap=0.5, mirroring=False))
        broken += count_broken_voxels(predicted)
        for structure, pairs in values.items():
            drawn, own = truth.mask(structure), predicted.mask(structure)
            if drawn.any():
                pairs.append((dice(drawn, own), float(own.sum() / drawn.sum())))
    return {name: tuple(np.mean(pairs, axis=0).tolist()) for name, pairs in values.items() if pairs}, broken


def count_broken_voxels(prediction: Segmentation) -> int:
    """Return the number of voxels of inner targets outside their outer ones; 0 for a label map."""
    if not isinstance(prediction, OverlappingSegmentation):
        return 0
    return Nesting.parse([NESTING]).broken_voxels(prediction.own)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train overlapping and exclusive outputs with equal budgets.")
    parser.add_argument("--out", type=Path, default=Path("overlapping-outputs"))
    parser.add_argument("--cpu-seconds", type=float, default=80)
    parser.add_argument("--steps", type=int, help="instead of CPU seconds, independent of the load")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--experiment", type=Path)
    options = parser.parse_args()
    if options.experiment:
        folder, task = options.out.absolute() / "experiment", experiment_task(options.experiment.absolute())
    else:
        folder = options.out.absolute() / ("nested" if options.nested else "plain")
        task = phantom_task(folder, nested=options.nested)
    budget = Budget(steps=options.steps) if options.steps else Budget(cpu_seconds=options.cpu_seconds)
    structures, scans = task.pool.structures, (len(task.pool.cases), len(task.held_out.cases))
    print(f"{describe(budget)}, {scans[0]} scans to learn, {scans[1]} to score: DSC (volume ratio)\n")
    rule = "---|" * (len(structures) + 2)
    print(f"| outputs | seed | {' | '.join(structures)} | mean DSC | broken |\n|---|---|{rule}")
    for seed in range(options.seeds):
        for outputs in ("exclusive", "overlapping"):
            model = train(task, outputs, budget, seed, folder)
            scores, broken = score(model, task.held_out)
            columns = [f"{scores[name][0]:.3f} ({scores[name][1]:.2f})" for name in structures]
            mean = np.mean([dsc for dsc, _ in scores.values()])
            print(f"| {outputs} | {seed} | {' | '.join(columns)} | {mean:.3f} | {broken} |", flush=True)


if __name__ == "__main__":
    main()
