"""Three measurements behind the settings of the strong recipes: new heads, one scale of CT, crops of the body.

Uses stage 2 of the demo, and scans without contours in a folder; it changes nothing of them:

    python benchmarks/strong_recipes.py DEMO/experiment SCANS [--out FOLDER]

Prints tables as Markdown. The first has the loss at the start of stage 3 by the scale of new heads. The second has the
Dice of stage 2 by the scale of CT. The last one counts mask cells that show little.
"""

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gynbtnet.datasets import Cohort, ingest
from gynbtnet.preparation import CTScaling, PreparedCohort, make_plan, prepare
from gynbtnet.recipes import load_recipe
from gynbtnet.training import Augmentation, Batches, SegmentationSettings, finetune

WIDE = CTScaling(lower=-1000, upper=1500, mean=0, sd=200)
"""The scale of CT of the strong recipes; that of the demo shows soft tissue only."""
STILL = {"learning_rate": 1e-12, "weight_decay": 0, "augmentation": "none", "workers": 0}
LENGTH = {"budget": {"steps": 20}, "epochs": 1, "steps_per_epoch": 20, "validation_interval_epochs": 1}
"""Steps that change next to nothing, so that loss and Dice are those of the starting weights."""
CELL, PATCHES, AIR, EVEN = 16, 100, -800.0, 40.0  # voxels; HU


def prepared_stage(experiment: Path, stage: str, out: Path, changes: Mapping[str, Any]) -> PreparedCohort:
    """Prepare the scans of a stage of the demo, with changes of its plan."""
    cohort = Cohort.load(experiment / "cohorts" / stage)
    settings = load_recipe("demo").stage(stage).plan.model_copy(update=dict(changes))
    return prepare(cohort, make_plan(cohort, settings), out / f"prepared_{stage}_{'_'.join(changes)}")


def at_the_start(
    prepared: PreparedCohort, stage: str, start: Path, out: Path, changes: Mapping[str, Any]
) -> dict[str, float]:
    """Return loss and Dice of a stage before it has learned; stage 2 keeps the heads of ``start``."""
    training = load_recipe("demo").stage(stage).training.model_dump() | STILL | LENGTH | {"validation_patches": 64}
    ids = sorted(case.id for case in prepared.cases)
    finetune(
        prepared,
        SegmentationSettings(**(training | dict(changes))),
        out,
        training_ids=ids[::2],
        validation_ids=ids[1::2],
        start=start,
        keep_heads=stage == "supervised",
    )
    with (out / "log.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    return {key: float(value) for key, value in row.items() if value and key.startswith(("loss", "dice"))}


def empty_cells(prepared: PreparedCohort, *, around_body: bool) -> tuple[float, float]:
    """Return two shares of the mask cells of random patches: air alone, and a standard deviation below 40 HU."""
    unchanged = Augmentation("none", prepared.plan.patch_size)
    batches = Batches(prepared.cases, unchanged, batch_size=1, seed=0, around_body=around_body, with_units=True)
    air, even, cells = 0, 0, 0
    for step in range(PATCHES):
        batch = batches[step]
        hu = batch["image"][0, 0] * batch["units"][0, 0] + WIDE.mean
        voxels = hu.unfold(0, CELL, CELL).unfold(1, CELL, CELL).unfold(2, CELL, CELL).reshape(-1, CELL**3)
        air += int((voxels.amax(1) < AIR).sum())
        even += int((voxels.std(1) < EVEN).sum())
        cells += len(voxels)
    return air / cells, even / cells


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the strong recipes' settings rest on.")
    parser.add_argument("experiment", type=Path, help="folder of `gynbtnet run demo`")
    parser.add_argument("scans", type=Path, help="folder of CTs")
    parser.add_argument("--out", type=Path, default=Path("strong_recipes"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    experiment, out = options.experiment.absolute(), options.out.absolute()
    stage_2 = experiment / "runs" / "supervised"

    task = prepared_stage(experiment, "task", out, {})
    print("\n| new heads of stage 3 | first loss |\n|---|---|")
    for scale in (1, 0.1):
        first = at_the_start(task, "task", stage_2, out / f"heads-{scale}", {"new_head_scale": scale})
        print(f"| scale {scale} | {first['loss']:.2f} |", flush=True)

    print("\n| scale of CT | Dice of stage 2 | bladder |\n|---|---|---|")
    for name, changes in (("soft tissue, as it was trained", {}), ("wide", {"ct_scaling": WIDE})):
        scans = prepared_stage(experiment, "supervised", out, changes)
        dice = at_the_start(scans, "supervised", stage_2, out / f"scale-{len(changes)}", {})
        print(f"| {name} | {dice['dice_mean']:.2f} | {dice['dice_urinary_bladder']:.2f} |", flush=True)

    cohort = ingest(options.scans, out / "cohort", "scans").cohort
    plan = make_plan(cohort, load_recipe("pretrain_strong").stage("pretraining").plan)
    scans = prepare(cohort, plan, out / "prepared_scans")
    print("\n| crops of stage 1 | mask cells with air alone | below 40 HU |\n|---|---|---|")
    for crops in ("anywhere", "body"):
        air, even = empty_cells(scans, around_body=crops == "body")
        print(f"| {crops} | {100 * air:.0f} % | {100 * even:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
