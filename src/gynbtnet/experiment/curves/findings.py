"""First sentences of the page of learning curves: the findings at the points fixed beforehand."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd

from gynbtnet.experiment.curves.differences import ALL_STRUCTURES
from gynbtnet.experiment.curves.run_list import CurveRun
from gynbtnet.experiment.curves.setup import CurvesSetup
from gynbtnet.runtime.phrases import counted, enumeration

LIMITS = (
    "A difference at these budgets is not one of converged models.",
    "The seeds are few: the variation between trainings is known only roughly.",
    "Each model's settings were chosen among few candidates, at the smallest budget only.",
    "CPU time depends on the machine and on its load. The steps of each run are in `points.csv`.",
    "All models have one voxel size and one set of patients. Other scans may give another order.",
)


def primary_points(setup: CurvesSetup) -> list[tuple[float, int | None]]:
    """Return budget and number of patients (None: all) of the comparisons that were fixed beforehand.

    These are the largest common budget with all patients, and the smallest number of patients.
    """
    design = setup.design
    few = [(design.patients_budget or design.budgets[-1], design.patients[0])] if design.patients else []
    return [(design.budgets[-1], None), *few]


def findings(points: pd.DataFrame, differences: pd.DataFrame, setup: CurvesSetup) -> Iterator[str]:
    """Yield one paragraph per comparison that was fixed beforehand.

    Args:
        points: table of the runs.
        differences: table of the comparisons.
        setup: design of the curves.
    """
    if len(setup.models) == 1:
        yield f"{setup.design.reference} is the only model, so nothing is compared.\n"
        return
    for budget, patients in primary_points(setup):
        everyone = patients is None
        place = f"With {'all ' if everyone else ''}{setup.learning if everyone else patients} contoured patients and "
        place += f"{amount(budget, setup)} of training"
        rows = differences[
            (differences["structure"] == ALL_STRUCTURES)
            & (differences["budget"] == budget)
            & (differences["all_patients"] == everyone)
        ]
        rows = rows if everyone else rows[rows["patients"] == patients]
        if rows.empty:
            yield f"{place}, nothing can be compared yet: the runs are not finished.\n"
            continue
        first = rows.iloc[0]
        head = (
            f"**{place}, {first['model']} has a mean DSC of {first['mean_dsc']:.3f}** "
            f"({counted(int(first['held_out']), 'patient')} held out, {counted(int(first['runs']), 'run')})."
        )
        verdicts = [_verdict(row, setup.design.margin) for row in rows.to_dict("records")]
        yield " ".join([head, *verdicts]) + "\n"
    yield from _costs(points, setup)


def _verdict(row: Mapping[Hashable, Any], margin: float) -> str:
    """Return the sentence of one comparison by the rule of the margin."""
    difference, low, high = (row[name] for name in ("difference", "low", "high"))
    interval = f"95 % interval {low:+.3f} to {high:+.3f}" if low <= high else "too few patients for an interval"
    numbers = (
        f"({row['other_mean_dsc']:.3f}; difference {difference:+.3f}, {interval}, "
        f"p = {row['p_holm']:.2g} by patient and adjusted)"
    )
    if min(row["runs"], row["other_runs"]) < 2:
        return f"Nothing is concluded about {row['other']} from a single run {numbers}."
    if not low <= high:
        return f"Nothing is concluded about {row['other']} from so few patients {numbers}."
    if row["better"]:
        return f"It is better than {row['other']} {numbers}."
    if row["worse"] and row["not_worse"]:
        return f"It is worse than {row['other']}, but by less than the margin of {margin:g} {numbers}."
    if row["worse"]:
        return f"It is worse than {row['other']} {numbers}."
    if row["not_worse"]:
        return f"It is not worse than {row['other']} by more than the margin of {margin:g} {numbers}."
    return f"Whether it is better or worse than {row['other']} is open {numbers}."


def amount(budget: float, setup: CurvesSetup) -> str:
    """Return a budget with its unit."""
    unit = setup.design.unit
    return (
        f"{budget:g} steps" if unit == "steps" else f"{budget / 60:g} {unit.removesuffix('_seconds').upper()} minutes"
    )


def _costs(points: pd.DataFrame, setup: CurvesSetup) -> Iterator[str]:
    """Yield the paragraph on the cost of a step, which explains a part of a difference at equal time."""
    finished = points[(points["kind"] == "point") & (points["steps"] > 0) & points["cpu_seconds"].notna()]
    per_step = (finished["cpu_seconds"] / finished["steps"]).groupby(finished["model"]).median()
    costs = {name: float(per_step[name]) for name in setup.models if name in per_step.index}
    own = costs.get(setup.design.reference)
    if own is None:
        return
    dearer = {name: cost / own for name, cost in costs.items() if cost > 1.5 * own}
    if dearer:
        steps = enumeration([f"{name} {factor:.1f} times" for name, factor in dearer.items()])
        yield (
            f"A step of {setup.design.reference} takes {own:.2f} CPU seconds; a step of the others takes longer: "
            f"{steps} as long. At equal time, {setup.design.reference} therefore does more steps than these, and a "
            "lead is partly that of a network with cheap steps. With equal numbers of steps, the order may be "
            "another one.\n"
        )


def missing_runs(points: pd.DataFrame, setup: CurvesSetup) -> list[CurveRun]:
    """Return the runs that have not finished, in their order."""
    finished = set(points["run"])
    return [run for run in setup.runs if run.name not in finished]
