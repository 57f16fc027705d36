"""Training and scoring of the ablation's runs; every step is stored and is not repeated."""

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gynbtnet.datasets import Cohort, hold_out_patients
from gynbtnet.evaluation import dice
from gynbtnet.imaging import read_volume
from gynbtnet.inference import Model, PredictionSettings, predict
from gynbtnet.preparation import CTScaling, PlanSettings, PreparedCohort, make_plan, prepare
from gynbtnet.runtime import atomic_write
from gynbtnet.training import (
    Budget,
    PretrainingSettings,
    RunFolder,
    SegmentationSettings,
    finetune,
    pretrain,
    training_cost,
)
from pretraining_ablation.arms import Group, Pretraining, Run
from pretraining_ablation.scans import Scans

COMMON: Mapping[str, Any] = {
    "steps_per_epoch": 10,
    "checkpoint_interval_epochs": 5,
    "learning_rate": 6e-3,
    "initialisation": "he",
    "warm_up_share": 0.05,
    "weight_decay_on": "weights",
    "freeze_idle_biases": True,
    "augmentation": "light",
    "mirror_axes": ("x",),
}
"""Settings of all stages: a learning rate and mirrored axes with which a short run learns."""
SCALING = CTScaling(lower=-200, upper=300, mean=40, sd=80)
"""One scale of intensities for all stages, that of soft tissue, as in the recipes for small machines."""
STAGE_1: Mapping[str, Any] = {"learning_rate": 3e-3, "initialisation": "he", "crops": "body"}
SEGMENTATION: Mapping[str, Any] = {"foreground_rule": "last_of_batch", "supervise_coarsest": False}
TASK: Mapping[str, Any] = {"foreground_oversampling": 0.5}

COLUMNS = (
    *("cohort", "arm", "contoured", "seed", "budget", "group", "patient", "case", "structure", "dsc"),
    *("steps", "task_cpu_seconds", "pretraining_cpu_seconds"),
)


@dataclass(frozen=True)
class Trainer:
    """Runs of one cohort in one folder.

    Attributes:
        scans: The scans.
        folder: Folder of prepared scans and runs.
        unit: Unit of all budgets, a field of :class:`gynbtnet.training.Budget`.
        stage: Budget of each pretraining.
    """

    scans: Scans
    folder: Path
    unit: str
    stage: float

    @cached_property
    def _prepared(self) -> dict[str, PreparedCohort]:
        """Prepared scans of stages 1 and 2 and of the task."""
        sizes = self.scans.sizes
        cohorts = {
            "stage 1": (self.scans.unlabelled, 4),
            "stage 2": (self.scans.organs, 2),
            "task": (self.scans.pool, 2),
        }
        prepared = {}
        for name, (cohort, batch_size) in cohorts.items():
            settings = PlanSettings(
                spacing=sizes.spacing,
                patch_size=sizes.patch,
                batch_size=batch_size,
                preset="XS",
                normalisation="ct",
                ct_scaling=SCALING,
            )
            prepared[name] = prepare(cohort, make_plan(cohort, settings), self.folder / "prepared" / name)
        return prepared

    def _with_mask_cell(self, name: str, mask_cell: int) -> PreparedCohort:
        """Return prepared scans with a plan whose network has ``mask_cell`` as its total stride."""
        prepared = self._prepared[name]
        last = {16: 2, 8: 1}[mask_cell]
        strides = tuple((stride,) * 3 for stride in (1, 2, 2, 2, last))
        return replace(prepared, plan=replace(prepared.plan, strides=strides))

    def pretraining_folder(self, pretraining: Pretraining, seed: int) -> Path:
        """Return the folder of a pretraining."""
        return self.folder / "pretraining" / f"{pretraining.name.replace(' ', '-')}_seed-{seed}"

    def pretrain(self, pretraining: Pretraining, seed: int) -> Path:
        """Return the folder of a finished pretraining, which is trained if it doesn't exist."""
        out = self.pretraining_folder(pretraining, seed)
        if not RunFolder(out).last_weights.is_file():
            self._pretrain(pretraining, seed, out)
        _delete_unneeded(out)
        return out

    def _pretrain(self, pretraining: Pretraining, seed: int, out: Path) -> None:
        prepared = self._with_mask_cell(f"stage {pretraining.stage}", pretraining.mask_cell)
        common = {**COMMON, "seed": seed, "budget": Budget(**{self.unit: self.stage})}
        ids = {"training_ids": prepared.ids_of(prepared.patients), "validation_ids": []}
        if pretraining.stage == 1:
            pretrain(prepared, PretrainingSettings(**{**common, **STAGE_1, **pretraining.settings}), out, **ids)
            return
        start = pretraining.start and self.pretrain(pretraining.start, seed)
        settings = SegmentationSettings(**{**common, **SEGMENTATION, **pretraining.settings})
        finetune(prepared, settings, out, start=start, **ids)

    def pretraining_cpu_seconds(self, pretraining: Pretraining | None, seed: int) -> float:
        """Return the CPU time of a pretraining and of those that it starts from."""
        if pretraining is None:
            return 0.0
        own = training_cost(self.pretraining_folder(pretraining, seed)).cpu_seconds
        return own + self.pretraining_cpu_seconds(pretraining.start, seed)

    def out(self, run: Run) -> Path:
        """Return the folder of a run of the task."""
        return self.folder / "runs" / run.folder

    def train(self, run: Run) -> Path:
        """Return the folder of a finished run of the task, which is trained if it doesn't exist."""
        out = self.out(run)
        if RunFolder(out).last_weights.is_file():
            return out
        prepared = self._with_mask_cell("task", run.arm.mask_cell)
        patients = prepared.patients
        if run.contoured is not None and run.contoured < len(patients):
            patients = hold_out_patients(patients, run.contoured, run.seed)
        settings = SegmentationSettings(
            **{
                **COMMON,
                **SEGMENTATION,
                **TASK,
                **run.arm.settings,
                "seed": run.seed,
                "budget": Budget(**{self.unit: run.budget}),
            }
        )
        start = run.arm.pretraining and self.pretrain(run.arm.pretraining, run.seed)
        return finetune(prepared, settings, out, training_ids=prepared.ids_of(patients), validation_ids=[], start=start)

    def is_complete(self, run: Run) -> bool:
        """Return whether a run has been trained and scored."""
        return all(self._scores_file(run, group).is_file() for group in run.groups)

    def complete(self, run: Run) -> None:
        """Train and score a run."""
        for group in run.groups:
            file = self._scores_file(run, group)
            if not file.is_file():
                rows = self._score(run, group)
                with atomic_write(file) as partial, partial.open("w", newline="") as handle:
                    writer = csv.DictWriter(handle, COLUMNS)
                    writer.writeheader()
                    writer.writerows(rows)
        _delete_unneeded(self.out(run))

    def _scores_file(self, run: Run, group: Group) -> Path:
        return self.out(run) / f"scores_{group}.csv"

    def _score(self, run: Run, group: Group) -> list[dict[str, Any]]:
        folder = self.train(run)
        cost = training_cost(folder)
        described = {
            "cohort": self.scans.name,
            "arm": run.arm.name,
            "contoured": "all" if run.contoured is None else run.contoured,
            "seed": run.seed,
            "budget": run.budget,
            "group": group,
            "steps": cost.steps,
            "task_cpu_seconds": round(cost.cpu_seconds, 2),
            "pretraining_cpu_seconds": round(self.pretraining_cpu_seconds(run.arm.pretraining, run.seed), 2),
        }
        cohort = self.scans.test if group == "test" else self.scans.validation
        return [described | row for row in _dice_rows(Model.load(folder), cohort)]


def _delete_unneeded(run: Path) -> None:
    """Delete the checkpoints and the best weights of a finished run, which take most of its space."""
    shutil.rmtree(RunFolder(run).state, ignore_errors=True)
    RunFolder(run).best_weights.unlink(missing_ok=True)


def _dice_rows(model: Model, cohort: Cohort) -> list[dict[str, Any]]:
    """Predict the first scan of every patient, and return one row per structure."""
    rows = []
    first = {case.patient: case for case in reversed(cohort.cases)}
    for case in first.values():
        assert case.labels is not None
        truth = read_volume(case.labels).array
        labels = predict(model, read_volume(case.image), PredictionSettings(overlap=0.25, mirroring=False)).labels.array
        for label, structure in enumerate(cohort.structures, start=1):
            score = dice(truth == label, np.asarray(labels) == label)
            rows.append({"patient": case.patient, "case": case.id, "structure": structure, "dsc": round(score, 5)})
    return rows


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Return the rows of all scored runs below a folder."""
    rows: list[dict[str, str]] = []
    for file in sorted(folder.glob("*/runs/*/scores_*.csv")):
        with file.open(newline="") as handle:
            rows += csv.DictReader(handle)
    return rows


def write_rows(rows: Sequence[Mapping[str, str]], file: Path) -> None:
    """Write rows into one CSV file."""
    with atomic_write(file) as partial, partial.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
