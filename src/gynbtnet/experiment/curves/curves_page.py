"""Results of learning curves, drawn from ``points.csv`` and ``scores.csv`` alone: tables, figures and page."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from gynbtnet.evaluation.statistics.permutation import smallest_p
from gynbtnet.experiment.curves.checked_tables import read_score_table
from gynbtnet.experiment.curves.curve_figures import budget_figure, patients_figure
from gynbtnet.experiment.curves.differences import (
    ALL_STRUCTURES,
    Setting,
    difference_table,
    patient_values,
    settings_of_points,
)
from gynbtnet.experiment.curves.findings import LIMITS, amount, findings, missing_runs
from gynbtnet.experiment.curves.folders import CurvesFolder
from gynbtnet.experiment.curves.machines import on_machine_of_pace
from gynbtnet.experiment.curves.run_list import CurveRun
from gynbtnet.experiment.curves.run_record import points_table, read_records
from gynbtnet.experiment.curves.setup import CurvesSetup, read_setup
from gynbtnet.pages.page_frame import RESEARCH_USE, SYNTHETIC
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted, enumeration

_REMEDY = (
    "No run of the curves has finished yet, or the table was changed; call `gynbtnet benchmark` with the recipe of the "
    "curves, which writes it again."
)
_METRICS = {"dsc": ("DSC", 3), "hd95_mm": ("HD95 (mm)", 1), "asd_mm": ("ASD (mm)", 2)}


def report_curves(folder: Path) -> Path:
    """Write figures, tables and page of learning curves; nothing is trained.

    Args:
        folder: folder of the curves, with ``curves.json``, ``points.csv`` and ``scores.csv``. Written to it are
            ``curves.png``, ``patients.png`` (and ``.svg``), ``differences.csv``, ``structures.csv`` and ``results.md``.

    Returns:
        The path of ``results.md``.

    Raises:
        BadInput: If the tables are absent or damaged.
    """
    folders = CurvesFolder(Path(folder).absolute())
    setup = read_setup(folders)
    points, scores = points_table(read_records(folders.points, _REMEDY)), read_score_table(folders.scores, _REMEDY)
    _check_same_runs(points, scores, setup, folders)
    points = on_machine_of_pace(points, setup)
    differences = difference_table(points, scores, setup)
    structures = structure_table(points, scores, setup)
    for name, table in (("differences", differences), ("structures", structures)):
        with atomic_write(folders.folder / f"{name}.csv") as partial:
            table.to_csv(partial, index=False, float_format="%.6g")
    _save(budget_figure(points, setup), folders.folder / "curves")
    if setup.design.patients:
        _save(patients_figure(points, setup), folders.folder / "patients")
    with atomic_write(folders.results) as partial:
        lines = _lines(setup, points, differences, structures)
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folders.results


def _check_same_runs(points: pd.DataFrame, scores: pd.DataFrame, setup: CurvesSetup, folders: CurvesFolder) -> None:
    """Check that the tables have the same runs, and only those of the design."""
    designed, finished, scored = {run.name for run in setup.runs}, set(points["run"]), set(scores["run"])
    if others := (finished | scored) - designed:
        raise BadInput(f"The run {min(others)} in the tables of {folders.folder} is not one of this design. {_REMEDY}")
    if absent := finished ^ scored:
        lacking = folders.scores if min(absent) in finished else folders.points
        raise BadInput(f"{lacking} is damaged: it lacks the run {min(absent)}. {_REMEDY}")
    if others := set(scores["structure"]).difference(setup.structures):
        raise BadInput(f"{folders.scores} is damaged: {min(others)} is not a structure of these curves. {_REMEDY}")


def structure_table(points: pd.DataFrame, scores: pd.DataFrame, setup: CurvesSetup) -> pd.DataFrame:
    """Return the mean of each metric per setting, model and structure: over patients, then over runs.

    Args:
        points: table of the runs.
        scores: table of their scores.
        setup: design of the curves.
    """
    rows = []
    for setting in settings_of_points(points):
        tables = {metric: patient_values(points, scores, setting, metric) for metric in _METRICS}
        for model in setup.models:
            for structure in (*setup.structures, ALL_STRUCTURES):
                row: dict[str, object] = {
                    "patients": setting.patients,
                    "all_patients": setting.all_patients,
                    "budget": setting.budget,
                    "model": model,
                    "structure": structure,
                }
                for metric, table in tables.items():
                    own = table[(table["model"] == model) & (table["structure"] == structure)]
                    by_run = own.groupby("seed")["value"].mean()
                    row |= {
                        "runs": len(by_run),
                        metric: float(by_run.mean()) if len(by_run) else float("nan"),
                        f"{metric}_sd_of_runs": float(by_run.std(ddof=1)) if len(by_run) > 1 else float("nan"),
                    }
                if row["runs"]:
                    rows.append(row)
    return pd.DataFrame(rows)


def _save(figure: Figure, path: Path) -> None:
    """Save a figure as PNG and SVG, without the date, so that the same data give the same files."""
    with rc_context({"svg.hashsalt": "gynbtnet"}):
        for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
            with atomic_write(path.with_suffix(suffix)) as partial:
                figure.savefig(partial, dpi=150, metadata=metadata)


def _lines(
    setup: CurvesSetup, points: pd.DataFrame, differences: pd.DataFrame, structures: pd.DataFrame
) -> Iterator[str]:
    yield f"# {setup.name}\n"
    yield from findings(points, differences, setup)
    missing = missing_runs(points, setup)
    if missing:
        yield f"**Not run yet: {len(missing)} of {counted(len(setup.runs), 'run')}.** They are listed below.\n"
    if setup.synthetic:
        yield f"**{SYNTHETIC}**\n"
    yield f"{' '.join(filter(None, (RESEARCH_USE, setup.description)))}\n"
    yield "![Mean DSC over CPU minutes, one curve per model](curves.png)\n"
    if setup.design.patients:
        yield "![Mean DSC over the number of contoured patients, one curve per model](patients.png)\n"
    yield "## What doesn't follow\n"
    yield from (f"- {limit}" for limit in _limits(setup, points))
    yield "\n## How it was decided\n"
    yield from _design(setup)
    yield "\n## Choice of settings\n"
    yield f"Mean DSC of {counted(setup.choosing, 'patient')}, who are neither learned from nor held out.\n"
    yield from _search(points, setup)
    for setting in settings_of_points(points):
        yield f"\n## {_heading(setting, setup)}\n"
        yield from _setting_tables(setting, setup, points, differences, structures)
    if missing:
        yield "\n## Not run\n"
        yield from _missing(missing)
    if setup.citations:
        yield "\n## Citations of the data\n"
        yield from (f"- {citation}" for citation in setup.citations)


def _limits(setup: CurvesSetup, points: pd.DataFrame) -> Iterator[str]:
    if setup.synthetic:
        yield "The phantom is simpler than patients: nothing here is an accuracy for patients."
    n_comparisons = len(setup.models) - 1
    if n_comparisons:
        smallest = min(1.0, n_comparisons * smallest_p(setup.held_out))
        yield (
            f"{counted(setup.held_out, 'patient')} held out show only large differences. The smallest possible p is "
            f"{smallest_p(setup.held_out):.2g}, and {smallest:.2g} after Holm's adjustment over {n_comparisons} models."
        )
    if any("pretraining" in stages for stages in setup.stages.values()):
        yield (
            "Stage 1 also learned from the scans of the patients who choose settings, without their contours. It has "
            "seen no patient held out."
        )
    machines = points["machine"].value_counts()
    if len(machines) > 1:
        runs = enumeration([f"{count} on {machine}" for machine, count in machines.items()])
        difference = (
            "do other numbers of steps in a CPU second"
            if setup.design.pace is None
            else "round differently, so that the same steps don't give the same weights on each"
        )
        yield f"Machines {difference}. The runs: {runs}."
    yield from LIMITS


def _design(setup: CurvesSetup) -> Iterator[str]:
    design = setup.design
    if len(setup.models) > 1:
        comparison = (
            f"The mean DSC of {design.reference} is compared with that of each other model, with a margin of "
            f"{design.margin:g}. A model is better if the 95 % interval of the difference is above 0, and not worse if "
            f"it is above −{design.margin:g}. The interval is a bootstrap over patients and runs; p is by swaps of "
            "patients, adjusted by Holm over the models. "
        )
    else:
        comparison = ""
    budgets = enumeration([amount(budget, setup) for budget in design.budgets])
    pace = (
        f"CPU minutes are those of one machine ({design.pace.machine}): a run on another one has the steps that this "
        "machine does in the budget. "
        if design.pace
        else ""
    )
    yield (
        f"All of this was fixed before the first run. {counted(setup.learning, 'patient')} to learn from, "
        f"{setup.choosing} to choose settings, {setup.held_out} held out ({counted(setup.cases_held_out, 'scan')}). "
        f"Budgets of {budgets}, {counted(design.seeds, 'seed')}. {pace}{comparison}The mean is over patients, "
        "of the mean over structures, of the mean over a patient's scans. Every point is a separate training."
    )


def _search(points: pd.DataFrame, setup: CurvesSetup) -> Iterator[str]:
    search, point = points[points["kind"] == "search"], points[points["kind"] == "point"]
    rows = []
    for model in setup.models:
        chosen = set(point.loc[point["model"] == model, "candidate"])
        if model not in set(search["model"]):
            rows += [(model, str(only), "–", "the only one") for only in chosen]
        for row in search[search["model"] == model].to_dict("records"):
            mark = "chosen" if row["candidate"] in chosen else ""
            rows.append((model, str(row["candidate"]), _number(row["mean_dsc"], 3), mark))
    yield from _table(("model", "candidate", "mean DSC", ""), rows)


def _heading(setting: Setting, setup: CurvesSetup) -> str:
    patients = f"All {setting.patients}" if setting.all_patients else str(setting.patients)
    return f"{patients} contoured patients, {amount(setting.budget, setup)}"


def _setting_tables(
    setting: Setting, setup: CurvesSetup, points: pd.DataFrame, differences: pd.DataFrame, structures: pd.DataFrame
) -> Iterator[str]:
    """Yield the tables of one setting: costs, metrics per structure, and differences."""
    own, table, compared = (
        frame[
            (frame["budget"] == setting.budget)
            & (frame["patients"] == setting.patients)
            & (frame["all_patients"] == setting.all_patients)
        ]
        for frame in (points[points["kind"] == "point"], structures, differences)
    )
    rows = []
    for model in setup.models:
        runs = own[own["model"] == model]
        if len(runs):
            sizes = runs["parameters"].dropna()
            rows.append(
                (
                    model,
                    str(len(runs)),
                    f"{runs['steps'].mean():.0f}",
                    _number(runs["cpu_seconds"].mean(), 0),
                    _number(runs["earlier_cpu_seconds"].mean(), 0),
                    f"{sizes.iloc[0] / 1e6:.1f}" if len(sizes) else "–",
                )
            )
    heads = ("model", "runs", "steps", "CPU seconds", "CPU seconds of earlier stages", "million parameters")
    yield from _table(heads, rows)
    names = (*setup.structures, ALL_STRUCTURES)
    for metric, (title, digits) in _METRICS.items():
        yield ""
        cells = {(row["model"], row["structure"]): row[metric] for row in table.to_dict("records")}
        models = [model for model in setup.models if (model, ALL_STRUCTURES) in cells]
        yield from _table(
            (title, *names),
            [(model, *(_number(cells.get((model, name), float("nan")), digits) for name in names)) for model in models],
        )
    if len(compared):
        yield ""
        yield from _table(
            (f"{setup.design.reference} minus", *names),
            [
                (str(other), *(_difference(group[group["structure"] == name]) for name in names))
                for other, group in compared.groupby("other", sort=False)
            ],
        )


def _difference(rows: pd.DataFrame) -> str:
    """Return a cell with difference, interval and verdict."""
    if rows.empty:
        return "–"
    row = rows.iloc[0]
    if min(row["runs"], row["other_runs"]) < 2:
        return f"{row['difference']:+.3f}, single run"
    verdict = "better" if row["better"] else "worse" if row["worse"] else "not worse" if row["not_worse"] else "open"
    if not row["low"] <= row["high"]:
        return f"{row['difference']:+.3f}, too few patients for an interval"
    return f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}), {verdict}"


def _missing(runs: Iterable[CurveRun]) -> Iterator[str]:
    for (kind, model), group in groupby(runs, key=lambda run: (run.kind, run.model)):
        yield f"- {kind} of {model}: {', '.join(run.name.rsplit('/', 1)[1] for run in group)}"


def _number(value: float, digits: int) -> str:
    return "–" if value != value else f"{value:.{digits}f}"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
