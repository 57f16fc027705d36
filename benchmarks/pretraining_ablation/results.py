"""Tables and figure of the ablation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gynbtnet.evaluation import patient_bootstrap
from pretraining_ablation.arms import (
    BLOCKS,
    CONTOURED,
    MAIN,
    SCRATCH,
    STAGE_1_VARIANTS,
    TASK_VARIANTS,
    Arm,
    Design,
    Run,
)

RESAMPLES = 2000
Key = tuple[str, int]
"""Patient and seed."""


@dataclass(frozen=True)
class Cell:
    """All scores of one arm, number of contoured patients, budget and group.

    Attributes:
        dsc: Mean DSC over structures by patient and seed.
        by_structure: Mean DSC by structure.
        steps: Mean number of optimiser steps.
        task_seconds: Mean CPU time of the task.
        pretraining_seconds: Mean CPU time of the pretraining.
    """

    dsc: Mapping[Key, float]
    by_structure: Mapping[str, float]
    steps: float
    task_seconds: float
    pretraining_seconds: float

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len({seed for _, seed in self.dsc})

    @property
    def mean(self) -> float:
        """Mean DSC over structures, patients and seeds."""
        return float(np.mean(list(self.dsc.values())))


class Results:
    """Scores of one cohort.

    Args:
        rows: Rows of all scored runs.
        cohort: Name of the cohort.
    """

    def __init__(self, rows: Sequence[Mapping[str, str]], cohort: str) -> None:
        self._rows = [row for row in rows if row["cohort"] == cohort]

    def cell(self, arm: str, contoured: int | None, budget: float, group: str) -> Cell | None:
        """Return the scores of an arm; None if nothing of it was run."""
        contoured_name = "all" if contoured is None else str(contoured)
        rows = [
            row
            for row in self._rows
            if (row["arm"], row["contoured"], row["group"]) == (arm, contoured_name, group)
            and float(row["budget"]) == budget
        ]
        if not rows:
            return None
        by_key: dict[Key, list[float]] = {}
        by_structure: dict[str, list[float]] = {}
        for row in rows:
            by_key.setdefault((row["patient"], int(row["seed"])), []).append(float(row["dsc"]))
            by_structure.setdefault(row["structure"], []).append(float(row["dsc"]))
        return Cell(
            {key: float(np.nanmean(values)) for key, values in by_key.items()},
            {structure: float(np.nanmean(values)) for structure, values in by_structure.items()},
            *(float(np.mean([float(row[name]) for row in rows])) for name in ("steps", *_SECONDS)),
        )


_SECONDS = ("task_cpu_seconds", "pretraining_cpu_seconds")


@dataclass(frozen=True)
class Difference:
    """Paired difference of two arms with a 95 % interval by patient.

    Attributes:
        mean: Mean over patients and seeds.
        low: Lower end.
        high: Upper end.
        better: Number of patients that are better on average over the seeds.
        patients: Number of patients.
        seeds: Number of seeds that both arms have.
    """

    mean: float
    low: float
    high: float
    better: int
    patients: int
    seeds: int

    def __str__(self) -> str:
        text = f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"
        return f"{text}, {self.better} of {self.patients}"


def difference(cell: Cell | None, reference: Cell | None) -> Difference | None:
    """Return the mean of the paired differences by patient and seed; None if there are no pairs."""
    if cell is None or reference is None:
        return None
    keys = sorted(cell.dsc.keys() & reference.dsc.keys())
    if not keys:
        return None
    values = np.array([cell.dsc[key] - reference.dsc[key] for key in keys])
    patients = np.array([patient for patient, _ in keys])
    low, high = patient_bootstrap(
        patients, lambda cases: float(values[cases].mean()), n_resamples=RESAMPLES, min_defined=RESAMPLES, seed=0
    )
    names = np.unique(patients)
    better = sum(float(values[patients == name].mean()) > 0 for name in names)
    return Difference(float(values.mean()), low, high, better, len(names), len({seed for _, seed in keys}))


def report(rows: Sequence[Mapping[str, str]], cohort: str, design: Design, unit: str) -> Iterator[str]:
    """Yield the lines of a Markdown report of one cohort."""
    results = Results(rows, cohort)
    yield f"### {cohort.capitalize()}\n"
    yield (
        f"Each pretraining has a budget of {design.stage:g} {unit}, the task of {design.task:g} unless the table says "
        "otherwise. Differences are in mean DSC over the structures, paired by patient and seed, with 95 % intervals "
        "from a bootstrap over patients, and the number of patients that are better.\n"
    )
    yield from _main_table(results, design)
    yield from _structure_table(results, design)
    yield from _variant_table(results, design, (*TASK_VARIANTS, *STAGE_1_VARIANTS))
    yield from _curve_table(results, design)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield f"| {' | '.join(header)} |"
        yield "|" + "---|" * len(header)
        for row in rows:
            yield f"| {' | '.join(row)} |"
        yield ""


def _main_table(results: Results, design: Design) -> Iterator[str]:
    rows = []
    for contoured in (CONTOURED, 5, 12, None):
        scratch = results.cell(SCRATCH.name, contoured, design.task, "test")
        full_cost = {
            budget: results.cell(SCRATCH.name, contoured, budget, "test") for budget in set(design.full_cost.values())
        }
        shown = {(arm.name, design.task): results.cell(arm.name, contoured, design.task, "test") for arm in MAIN}
        shown |= {(SCRATCH.name, budget): cell for budget, cell in sorted(full_cost.items()) if budget != design.task}
        for (arm, _), cell in shown.items():
            if cell is None:
                continue
            is_scratch = arm == SCRATCH.name
            equal_total = None if is_scratch else difference(cell, full_cost[design.full_cost[arm]])
            equal_task = None if is_scratch else difference(cell, scratch)
            rows.append(
                (
                    "all" if contoured is None else str(contoured),
                    arm,
                    f"{cell.pretraining_seconds:.0f} + {cell.task_seconds:.0f}",
                    f"{cell.steps:.0f}",
                    str(cell.seeds),
                    f"{cell.mean:.3f}",
                    "–" if is_scratch else _shown(equal_task),
                    "–" if is_scratch else _shown(equal_total),
                )
            )
    yield from _table(
        (
            *("contoured patients", "arm", "CPU s, pretraining + task", "steps of the task", "seeds", "DSC"),
            *("to scratch, equal time of the task", "to scratch, equal time in all"),
        ),
        rows,
    )


def _shown(value: Difference | None) -> str:
    return "not run" if value is None else str(value)


def _structure_table(results: Results, design: Design) -> Iterator[str]:
    cells = [
        (contoured, arm.name, cell)
        for contoured in (CONTOURED, 5, 12, None)
        for arm in MAIN
        if (cell := results.cell(arm.name, contoured, design.task, "test")) is not None
    ]
    structures = list(cells[0][2].by_structure) if cells else []
    if len(structures) > 1:
        rows = [
            ("all" if contoured is None else str(contoured), arm, *(f"{cell.by_structure[s]:.3f}" for s in structures))
            for contoured, arm, cell in cells
        ]
        yield from _table(("contoured patients", "arm", *structures), rows)


def _variant_table(results: Results, design: Design, arms: Sequence[Arm]) -> Iterator[str]:
    def cell(arm: str, group: str = "validation") -> Cell | None:
        return results.cell(arm, CONTOURED, design.task, group)

    rows = []
    for arm in (*MAIN, *arms):
        own = cell(arm.name)
        if own is None:
            continue
        to_scratch = difference(own, cell(arm.scratch)) if arm.name != arm.scratch else None
        to_base = difference(own, cell(arm.base)) if arm.base not in (arm.name, arm.scratch) else None
        confirmed = difference(cell(arm.name, "test"), cell(arm.base, "test")) if arm.name in design.confirmed else None
        columns = ("–" if value is None else str(value) for value in (to_scratch, to_base, confirmed))
        rows.append((arm.name, f"{own.steps:.0f}", str(own.seeds), f"{own.mean:.3f}", *columns))
    header = (
        "arm",
        "steps",
        "seeds",
        "DSC",
        "to scratch",
        "to the arm without this setting",
        "the same, test patients",
    )
    if rows:
        yield f"Validation patients, {CONTOURED} contoured patients; settings are chosen on these alone.\n"
    yield from _table(header, rows)


def _curve_table(results: Results, design: Design) -> Iterator[str]:
    rows = [
        (arm, f"{cell.task_seconds:.0f}", f"{cell.task_seconds + cell.pretraining_seconds:.0f}", f"{cell.mean:.3f}")
        for arm, cells in curves(results, design).items()
        for cell in cells
    ]
    if len(rows) > len(MAIN) + 1:
        yield from _table(("arm", "CPU s of the task", "CPU s in all", f"DSC, {CONTOURED} contoured patients"), rows)


def curves(results: Results, design: Design) -> dict[str, list[Cell]]:
    """Return the cells of each main arm by rising budget, with :data:`CONTOURED` patients, on the test patients."""
    runs = [run for block in ("main", "control", "curves") for run in BLOCKS[block](design)]
    by_arm = {}
    for arm in MAIN:
        budgets = sorted({run.budget for run in runs if run.arm == arm and run.contoured == CONTOURED})
        cells = [results.cell(arm.name, CONTOURED, budget, "test") for budget in budgets]
        by_arm[arm.name] = [cell for cell in cells if cell is not None]
    return by_arm


def draw_curves(rows: Sequence[Mapping[str, str]], cohorts: Sequence[str], design: Design, path: Path) -> None:
    """Draw mean DSC against the CPU time of the task, and against all CPU time; one row of panels per cohort."""
    figure = Figure(figsize=(9, 3.4 * len(cohorts)), layout="constrained")
    panels = figure.subplots(len(cohorts), 2, squeeze=False, sharey="row")
    for row, cohort in zip(panels, cohorts, strict=True):
        for panel, counted in zip(row, (False, True), strict=True):
            for arm, cells in curves(Results(rows, cohort), design).items():
                seconds = [cell.task_seconds + counted * cell.pretraining_seconds for cell in cells]
                spans = [_span_over_seeds(cell) for cell in cells]
                (line,) = panel.plot(seconds, [cell.mean for cell in cells], marker="o", label=arm)
                low, high = ([span[end] for span in spans] for end in (0, 1))
                panel.fill_between(seconds, low, high, alpha=0.15, color=line.get_color())
            panel.set_xscale("log")
            panel.set_xlabel("CPU seconds, pretraining counted" if counted else "CPU seconds of the task")
            panel.set_title(f"{cohort}, {CONTOURED} contoured patients", fontsize=10)
        row[0].set_ylabel("mean DSC of test patients")
        row[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def _span_over_seeds(cell: Cell) -> tuple[float, float]:
    """Return the lowest and the highest mean over patients of a seed."""
    seeds = {seed for _, seed in cell.dsc}
    means = [np.mean([value for (_, other), value in cell.dsc.items() if other == seed]) for seed in seeds]
    return float(min(means)), float(max(means))


def progress(done: Mapping[str, Sequence[Run]], planned: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    """Yield one line per block: the number of runs that were done, and what is missing."""
    for block, runs in planned.items():
        missing = [run for run in runs if run not in done[block]]
        names = sorted({run.arm.name for run in missing})
        addition = f"; missing: {', '.join(names)}" if missing else ""
        yield f"- {block}: {len(runs) - len(missing)} of {len(runs)} runs{addition}"
