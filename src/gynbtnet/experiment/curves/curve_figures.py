"""Figures of learning curves: mean DSC of the patients held out over CPU time and over contoured patients."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from gynbtnet.experiment.curves.findings import amount
from gynbtnet.experiment.curves.setup import CurvesSetup

_STYLES = tuple(
    (color, marker)
    for color, marker in zip(
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"),
        "osD^vPX*",
        strict=True,
    )
)  # Okabe and Ito's colours, distinguishable for colour-blind readers


def budget_figure(points: pd.DataFrame, setup: CurvesSetup) -> Figure:
    """Plot the mean DSC over CPU minutes, twice: of the task alone, and of all stages.

    A marker is the mean over runs at their mean time; the band reaches from the lowest run to the highest.

    Args:
        points: table of the runs.
        setup: design of the curves.
    """
    data = points[(points["kind"] == "point") & points["all_patients"] & points["cpu_seconds"].notna()]
    all_time = data["cpu_seconds"] + data["earlier_cpu_seconds"]
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    titles = "training of the task", "all training, pretraining counted"
    for panel, title, seconds in zip(axes, titles, (data["cpu_seconds"], all_time), strict=True):
        table = data.assign(x=seconds / 60)
        for name in setup.models:
            _curve(panel, table[table["model"] == name], "budget", name, setup)
        panel.set_xscale("log")
        low, high = panel.get_xlim()
        if high < 2 * low:  # runs of a single budget, whose times are nearly equal
            panel.set_xlim(low / 2, high * 2)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel(f"CPU minutes: {title}")
    if setup.design.unit != "steps":  # the task's times are then the budgets
        minutes = sorted({budget / 60 for budget in data["budget"]})
        axes[0].set_xticks(minutes, [f"{value:g}" for value in minutes])
        axes[0].xaxis.set_minor_locator(NullLocator())
    axes[0].set_ylabel(f"mean DSC of {setup.held_out} patients held out")
    _finish(figure, axes[0], setup, legend_columns=4)
    return figure


def patients_figure(points: pd.DataFrame, setup: CurvesSetup) -> Figure:
    """Plot the mean DSC over the number of contoured patients, at the budget of these runs.

    Args:
        points: table of the runs.
        setup: design of the curves.
    """
    budget = setup.design.patients_budget or setup.design.budgets[-1]
    data = points[(points["kind"] == "point") & (points["budget"] == budget)]
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    with_few = set(data.loc[~data["all_patients"], "model"])
    for name in setup.models:
        if name in with_few:
            _curve(axes, data[data["model"] == name].assign(x=data["patients"]), "patients", name, setup)
    axes.set_xscale("log")
    numbers = sorted({int(number) for number in data["patients"]})
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"contoured patients, {amount(budget, setup)} of training each")
    axes.set_ylabel(f"mean DSC of {setup.held_out} patients held out")
    _finish(figure, axes, setup, legend_columns=3)
    return figure


def _curve(axes: Axes, data: pd.DataFrame, group: str, name: str, setup: CurvesSetup) -> None:
    """Plot one model: mean and range of the runs of each group."""
    runs = data.dropna(subset=["mean_dsc"])
    if runs.empty:
        return
    color, marker = _STYLES[setup.models.index(name) % len(_STYLES)]
    table = runs.groupby(group).agg(
        x=("x", "mean"), mean=("mean_dsc", "mean"), low=("mean_dsc", "min"), high=("mean_dsc", "max")
    )
    table = table.sort_values("x")
    axes.fill_between(table["x"], table["low"], table["high"], color=color, alpha=0.18, linewidth=0)
    axes.vlines(table["x"], table["low"], table["high"], color=color, alpha=0.5, linewidth=1.6)
    axes.plot(table["x"], table["mean"], color=color, marker=marker, markersize=5, linewidth=1.6, label=name)


def _finish(figure: Figure, first: Axes, setup: CurvesSetup, *, legend_columns: int) -> None:
    """Add grids and the legend, and the note that the scans are synthetic."""
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns, frameon=False)
    note = "synthetic data; " if setup.synthetic else ""
    figure.suptitle(f"{note}band: lowest to highest run", x=0.99, ha="right", fontsize=8, color="0.4")
