"""Which axes should training mirror? The demo's stages 2 and 3 with each choice: the same scans, seed and batches.

Stage 2 is scored by paired structures, those with a side, and by the others; stage 3 by its five structures. Scans are
synthetic, and none that is scored was trained on:

    python benchmarks/mirroring.py [--out FOLDER] [--stages supervised task] [--axes zy x zyx none]
        [--steps-supervised 600] [--steps-task 150] [--learning-rate 0.003]

A run that was stopped goes on when it is called again with the same --out. Prints Markdown.
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
"""To train on and to score."""


def scans_of(stage: str, folder: Path) -> Cohort:
    """The stage's scans, patient by patient, as the demo writes them."""
    if stage == "supervised":
        write_organs(folder / "source", scans=sum(SCANS[stage]))
        return ingest(folder / "source", folder / "cohort", "totalsegmentator").cohort
    write_brachytherapy(folder / "source", patients=sum(SCANS[stage]), fractions=1)
    return ingest(folder / "source", folder / "cohort", structures=STRUCTURES).cohort


def train(
    prepared: PreparedCohort, stage: str, axes: str, steps: int, patients: Sequence[str], rate: float | None, run: Path
) -> float:
    """Train as the demo's recipe says, with ``axes`` mirrored and ``steps`` in all; the CPU seconds that it took."""
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
    """Mean DSC of each structure over the scans, each as a whole, without mirror images."""
    found: dict[str, list[float]] = {structure: [] for structure in model.structures}
    for case in cohort.cases:
        assert case.labels is not None
        truth = read_volume(case.labels).array
        settings = PredictionSettings(overlap=0.25, mirroring=False)
        labels = predict(model, read_volume(case.image), settings).labels.array
        for label, structure in enumerate(model.structures, start=1):
            if (truth == label).any():
                found[structure].append(dice(truth == label, labels == label))
    return {structure: float(np.mean(values)) for structure, values in found.items() if values}


def main() -> None:
    parser = argparse.ArgumentParser(description="The demo's stages 2 and 3 with each choice of mirrored axes.")
    parser.add_argument("--out", type=Path, default=Path("mirroring"))
    parser.add_argument("--stages", nargs="+", default=list(SCANS), choices=SCANS)
    parser.add_argument("--axes", nargs="+", default=["zy", "x", "zyx", "none"])
    parser.add_argument("--steps-supervised", type=int, default=600)
    parser.add_argument("--steps-task", type=int, default=150)
    parser.add_argument("--learning-rate", type=float, help="of every run; the recipe's if left out")
    asked = parser.parse_args()
    for stage in asked.stages:
        folder = asked.out.absolute() / stage
        cohort = scans_of(stage, folder)
        seen, held_out = cohort.patients[: SCANS[stage][0]], cohort.patients[SCANS[stage][0] :]
        pool = cohort.of_patients(seen)
        prepared = prepare(pool, make_plan(pool, load_recipe("demo").stage(stage).plan), folder / "prepared")
        paired = [name for name in prepared.structures if has_side(name)]
        steps = asked.steps_supervised if stage == "supervised" else asked.steps_task
        print(f"\n{stage}: {len(seen)} scans, {steps} steps, {len(held_out)} scans to score\n")
        print("| mirrored | DSC, paired | DSC, others | CPU s |\n|---|---|---|---|", flush=True)
        for axes in asked.axes:
            rate, run = asked.learning_rate, folder / f"run-{axes}-{steps}-{asked.learning_rate}"
            seconds = train(prepared, stage, axes, steps, seen, rate, run)
            found = score(Model.load(run), cohort.of_patients(held_out))
            groups = [[dsc for name, dsc in found.items() if (name in paired) == side] for side in (True, False)]
            columns = [f"{statistics.fmean(group):.2f}" if group else "–" for group in groups]
            print(f"| {axes} | {' | '.join(columns)} | {seconds:.0f} |", flush=True)
            print("  " + ", ".join(f"{name} {dsc:.2f}" for name, dsc in found.items()), flush=True)


if __name__ == "__main__":
    main()
