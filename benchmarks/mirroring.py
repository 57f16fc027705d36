"""Choice of the axes that training mirrors: stages 2 and 3 of the demo, with the same scans, seed and batches.

Stage 2 is scored separately for paired structures, which have a side, and for the others. Stage 3 is scored by its five
structures. The scans are synthetic, and those that are scored are not used for training:

    python benchmarks/mirroring.py [--out FOLDER] [--stages supervised task] [--axes zy x zyx none]
        [--steps-supervised 600] [--steps-task 150] [--learning-rate 0.003]

An interrupted run resumes when it is started again with the same --out. Prints Markdown.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gynbtnet.datasets import Cohort, ingest
from gynbtnet.evaluation import dice
from gynbtnet.imaging import has_side, read_volume
from gynbtnet.inference import Model, PredictionSettings, predict
from gynbtnet.phantom import STRUCTURES, write_brachytherapy, write_organs
from gynbtnet.preparation import PreparedCohort, make_plan, prepare
from gynbtnet.recipes import load_recipe
from gynbtnet.training import SegmentationSettings, finetune

SCANS = {"supervised": (12, 3), "task": (16, 5)}
"""Number of scans for training and for scoring, per stage."""


def write_scans(stage: str, folder: Path) -> Cohort:
    """Write the scans of a stage as the demo does and return their cohort."""
    if stage == "supervised":
        write_organs(folder / "source", scans=sum(SCANS[stage]))
        return ingest(folder / "source", folder / "cohort", "totalsegmentator").cohort
    write_brachytherapy(folder / "source", patients=sum(SCANS[stage]), fractions=1)
    return ingest(folder / "source", folder / "cohort", structures=STRUCTURES).cohort


def train(
    prepared: PreparedCohort, stage: str, axes: str, steps: int, patients: Sequence[str], rate: float | None, run: Path
) -> float:
    """Train with the demo's recipe, ``axes`` mirrored and ``steps`` in total, and return the CPU seconds."""
    recipe: SegmentationSettings = load_recipe("demo").stage(stage).training
    changes: dict[str, object] = {
        "mirror_axes": tuple(axis for axis in "zyx" if axis in axes) if axes != "none" else (),
        "epochs": 10,
        "steps_per_epoch": steps // 10,
        "checkpoint_interval_epochs": 2,
        "warm_up_epochs": min(recipe.warm_up_epochs, 1),
    }
    if rate is not None:
        changes["learning_rate"] = rate
    began = time.process_time()
    finetune(
        prepared,
        recipe.model_copy(update=changes),
        run,
        training_ids=prepared.ids_of(patients),
        validation_ids=[],
    )
    return time.process_time() - began


def score(model: Model, cohort: Cohort) -> dict[str, float]:
    """Return the mean DSC of each structure over the scans, predicted without mirroring."""
    dsc_by_structure: dict[str, list[float]] = {structure: [] for structure in model.structures}
    for case in cohort.cases:
        assert case.labels is not None
        truth = read_volume(case.labels).array
        settings = PredictionSettings(overlap=0.25, mirroring=False)
        labels = predict(model, read_volume(case.image), settings).labels.array
        for label, structure in enumerate(model.structures, start=1):
            if (truth == label).any():
                dsc_by_structure[structure].append(dice(truth == label, labels == label))
    return {structure: float(np.mean(values)) for structure, values in dsc_by_structure.items() if values}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train stages 2 and 3 of the demo with each choice of mirrored axes.")
    parser.add_argument("--out", type=Path, default=Path("mirroring"))
    parser.add_argument("--stages", nargs="+", default=list(SCANS), choices=SCANS)
    parser.add_argument("--axes", nargs="+", default=["zy", "x", "zyx", "none"])
    parser.add_argument("--steps-supervised", type=int, default=600)
    parser.add_argument("--steps-task", type=int, default=150)
    parser.add_argument("--learning-rate", type=float, help="learning rate of every run; default: that of the recipe")
    options = parser.parse_args()
    for stage in options.stages:
        folder = options.out.absolute() / stage
        cohort = write_scans(stage, folder)
        training_patients, held_out = cohort.patients[: SCANS[stage][0]], cohort.patients[SCANS[stage][0] :]
        pool = cohort.of_patients(training_patients)
        prepared = prepare(pool, make_plan(pool, load_recipe("demo").stage(stage).plan), folder / "prepared")
        paired = [name for name in prepared.structures if has_side(name)]
        steps = options.steps_supervised if stage == "supervised" else options.steps_task
        print(f"\n{stage}: {len(training_patients)} scans, {steps} steps, {len(held_out)} scans to score\n")
        print("| mirrored | DSC, paired | DSC, others | CPU s |\n|---|---|---|---|", flush=True)
        for axes in options.axes:
            rate, run = options.learning_rate, folder / f"run-{axes}-{steps}-{options.learning_rate}"
            seconds = train(prepared, stage, axes, steps, training_patients, rate, run)
            dsc_by_structure = score(Model.load(run), cohort.of_patients(held_out))
            groups = [
                [dsc for name, dsc in dsc_by_structure.items() if (name in paired) == side] for side in (True, False)
            ]
            columns = [f"{statistics.fmean(group):.2f}" if group else "–" for group in groups]
            print(f"| {axes} | {' | '.join(columns)} | {seconds:.0f} |", flush=True)
            print("  " + ", ".join(f"{name} {dsc:.2f}" for name, dsc in dsc_by_structure.items()), flush=True)


if __name__ == "__main__":
    main()
