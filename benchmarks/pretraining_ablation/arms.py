"""Arms of the ablation and the order of its runs, as data."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

Group = Literal["validation", "test"]
CONTOURED = 2  # patients in every block except labels


@dataclass(frozen=True)
class Pretraining:
    """A training run before the task.

    Attributes:
        name: Name of the run's folder.
        stage: 1, masked modelling, or 2, supervised training on many organs.
        settings: Settings that differ from the ablation's usual ones.
        start: Run from which it starts; None: new weights.
        mask_cell: Edge of a mask cell in voxels, the total stride of the network.
    """

    name: str
    stage: Literal[1, 2]
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: "Pretraining | None" = None
    mask_cell: int = 16


@dataclass(frozen=True)
class Arm:
    """One way to train the task.

    Attributes:
        name: Name in tables and of folders.
        pretraining: Run from which the task starts; None: new weights.
        settings: Settings of the task that differ from the ablation's usual ones.
        mask_cell: As for the pretraining; the network of the task has the same strides.
        scratch: Name of the arm without pretraining on the same network.
        base: Name of the arm from which this one differs by a single setting.
    """

    name: str
    pretraining: Pretraining | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    mask_cell: int = 16
    scratch: str = "from scratch"
    base: str = "from scratch"


@dataclass(frozen=True)
class Run:
    """One training of the task.

    Attributes:
        arm: The arm.
        contoured: Number of contoured patients; None: all.
        seed: Seed of weights, batches, masks and choice of patients.
        budget: Budget of the task.
        groups: Patients that are scored.
    """

    arm: Arm
    contoured: int | None
    seed: int
    budget: float
    groups: tuple[Group, ...]

    @property
    def folder(self) -> str:
        """Name of the run's folder."""
        contoured = "all" if self.contoured is None else self.contoured
        return f"{self.arm.name.replace(' ', '-')}_{contoured}-patients_budget-{self.budget:g}_seed-{self.seed}"


SCRATCH = Arm("from scratch")
STAGE_1 = Arm("stage 1", Pretraining("stage 1", 1))
STAGE_2 = Arm("stage 2", Pretraining("stage 2", 2))
BOTH = Arm("stages 1 and 2", Pretraining("stages 1 and 2", 2, start=STAGE_1.pretraining))
MAIN = (SCRATCH, STAGE_1, STAGE_2, BOTH)

_STAGE_1_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "dense encoder": {"encoder": "dense"},
    "mask ratio 0.4": {"mask_ratio": 0.4},
    "mask ratio 0.75": {"mask_ratio": 0.75},
    "raw target": {"normalise_target": False},
    "epsilon of SparK": {"target_epsilon_hu": None},
    "epsilon 60 HU": {"target_epsilon_hu": 60},
    "crops anywhere": {"crops": "anywhere"},
    "learning rate 1e-3": {"learning_rate": 1e-3},
}
_TASK_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "encoder rate 0.3": {"encoder_learning_rate": 0.3},
    "encoder rate 0.1": {"encoder_learning_rate": 0.1},
    "new heads 0.1": {"new_head_scale": 0.1},
    "rate 6e-4, of new heads 6e-3": {"learning_rate": 6e-4, "new_head_learning_rate": 10},
    "decoder first 0.1": {"decoder_first_share": 0.1},
    "EMA 0.98": {"ema": 0.98},
}
SCRATCH_8 = Arm("from scratch, cell 8", mask_cell=8)
STAGE_1_VARIANTS = (
    *(
        Arm(f"stage 1, {name}", Pretraining(f"stage 1, {name}", 1, settings), base=STAGE_1.name)
        for name, settings in _STAGE_1_SETTINGS.items()
    ),
    SCRATCH_8,
    Arm(
        "stage 1, cell 8",
        Pretraining("stage 1, cell 8", 1, mask_cell=8),
        mask_cell=8,
        scratch=SCRATCH_8.name,
        base=STAGE_1.name,
    ),
)
TASK_VARIANTS = (
    *(
        Arm(f"{arm.name}, {name}", arm.pretraining, settings, base=arm.name)
        for (name, settings), arm in product(_TASK_SETTINGS.items(), (STAGE_1, STAGE_2))
    ),
    Arm("from scratch, EMA 0.98", settings=_TASK_SETTINGS["EMA 0.98"]),
)


@dataclass(frozen=True)
class Design:
    """Amounts of the ablation.

    Attributes:
        stage: Budget of each pretraining.
        task: Budget of the task.
        seeds: Number of seeds.
        confirmed: Names of variants, chosen on validation patients, that are also scored on test patients.
    """

    stage: float
    task: float
    seeds: int
    confirmed: Sequence[str] = ()

    @property
    def full_cost(self) -> Mapping[str, float]:
        """Budget of a task from scratch that also gets what the pretraining of each arm cost."""
        return {
            SCRATCH.name: self.task,
            STAGE_1.name: self.task + self.stage,
            STAGE_2.name: self.task + self.stage,
            BOTH.name: self.task + 2 * self.stage,
        }


def main_runs(design: Design, contoured: int | None = CONTOURED) -> Iterator[Run]:
    """Yield scratch, stage 1 and stage 2, seed by seed."""
    for seed, arm in product(range(design.seeds), (SCRATCH, STAGE_1, STAGE_2)):
        yield Run(arm, contoured, seed, design.task, _groups(contoured))


def control_runs(design: Design, contoured: int | None = CONTOURED) -> Iterator[Run]:
    """Yield scratch with the budget of one pretraining in addition, and both stages, seed by seed."""
    for seed in range(design.seeds):
        yield Run(SCRATCH, contoured, seed, design.task + design.stage, ("test",))
        yield Run(BOTH, contoured, seed, design.task, _groups(contoured))


def _groups(contoured: int | None) -> tuple[Group, ...]:
    """Return both groups if variants of the task or of stage 1 are compared with the run."""
    return ("test", "validation") if contoured == CONTOURED else ("test",)


def _variants(design: Design, arms: Sequence[Arm]) -> Iterator[Run]:
    for seed, arm in product(range(design.seeds), arms):
        groups: tuple[Group, ...] = ("validation", "test") if arm.name in design.confirmed else ("validation",)
        yield Run(arm, CONTOURED, seed, design.task, groups)


def task_variants(design: Design) -> Iterator[Run]:
    """Yield the variants of the task's settings after a transfer."""
    yield from _variants(design, TASK_VARIANTS)


def stage_1_variants(design: Design) -> Iterator[Run]:
    """Yield the variants of stage 1."""
    yield from _variants(design, STAGE_1_VARIANTS)


def label_runs(design: Design) -> Iterator[Run]:
    """Yield the main runs with more contoured patients, and scratch with the time of one and of both pretrainings."""
    for contoured in (5, 12, None):
        yield from main_runs(design, contoured)
        yield from control_runs(design, contoured)
        for seed in range(design.seeds):
            yield Run(SCRATCH, contoured, seed, design.task + 2 * design.stage, ("test",))


def curve_runs(design: Design) -> Iterator[Run]:
    """Yield further budgets of the task, each with its whole schedule, and scratch with both pretrainings' time."""
    for seed in range(design.seeds):
        yield Run(SCRATCH, CONTOURED, seed, design.task + 2 * design.stage, ("test",))
    for factor, seed, arm in product((0.5, 2, 4), range(design.seeds), MAIN):
        yield Run(arm, CONTOURED, seed, factor * design.task, ("test",))


BLOCKS: Mapping[str, Callable[[Design], Iterator[Run]]] = {
    "main": main_runs,
    "control": control_runs,
    "task": task_variants,
    "stage-1": stage_1_variants,
    "labels": label_runs,
    "curves": curve_runs,
}
"""Blocks of runs in their order; the results are useful whenever the ablation is stopped."""
