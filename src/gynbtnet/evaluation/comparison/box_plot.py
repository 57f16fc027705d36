"""Box plots of models side by side, with every case in them and the patients joined from model to model."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.score_table import METRICS, score_table
from gynbtnet.evaluation.reports.patient_styles import MOST_NAMED, PatientStyle, patient_styles
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN

MOST_COLUMNS = 3
_TICKS_MM = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_LEGEND_INCHES = 1.3
"""Room for a name in the legend."""
_BOX = {"color": "0.25", "linewidth": 1.0}


def box_data(evaluations: Mapping[str, Evaluation], metric: str) -> pd.DataFrame:
    """What is drawn: a row a scored case, structure and model, with ``patient``, ``missed`` and the metric's value."""
    tables = [score_table(evaluation.scores).assign(model=name) for name, evaluation in evaluations.items()]
    table = pd.concat(tables, ignore_index=True)
    return table.loc[table[metric].notna(), ["structure", "model", "patient", "case", "missing_in", metric]]


def box_figure(data: pd.DataFrame, metric: str, note: str = "") -> Figure:
    """A panel a structure. Box: median and quartiles, whiskers to 1.5 times their distance, a diamond at the mean.

    Each dot is a case, each line a patient's mean, in one colour and shape through all panels. A case in which the
    structure is missed or false, and scored at the worst, has a ring. Axes of distances are logarithmic above 1 mm.

    Args:
        data: as :func:`box_data` gives it.
        metric: its column.
        note: a few words at the top right, "synthetic data" for instance.
    """
    structures = list(dict.fromkeys(data["structure"]))
    models = list(dict.fromkeys(data["model"]))
    marks = patient_styles(data["patient"])
    columns = min(MOST_COLUMNS, max(1, len(structures)))
    rows = -(-max(1, len(structures)) // columns)
    width = columns * max(2.6, 0.75 * len(models) + 1.0)
    figure = Figure(figsize=(width, rows * 3.4 + 0.6), layout="constrained")
    panels: npt.NDArray[np.object_] = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(structures) :]:
        axes.set_visible(False)
    for place, (structure, axes) in enumerate(zip(structures, panels, strict=False)):
        _draw(axes, data[data["structure"] == structure], metric, models, marks)
        axes.set_title(structure, fontsize=10)
        if place % columns == 0:
            axes.set_ylabel(
                f"{METRICS[metric]}, {'larger' if BETTER_SIGN[metric] > 0 else 'smaller'} is better", fontsize=9
            )
    if structures:
        _scale(panels[0], metric, float(data[metric].max()))
    if note:
        figure.suptitle(note, fontsize=10, color="0.4", ha="right", x=0.99)
    across = int(width / _LEGEND_INCHES)
    figure.legend(handles=_legend(marks, data), loc="outside lower center", ncols=across, frameon=False, fontsize=8)
    return figure


def _scale(axes: Axes, metric: str, largest: float) -> None:
    """Shares up to 1; distances linear up to 1 mm and logarithmic above, or a missed structure flattens all others."""
    if not METRICS[metric].endswith("(mm)"):
        axes.set_ylim(top=1.02)
        return
    axes.set_yscale("symlog", linthresh=1.0, linscale=0.4)
    axes.set_yticks(_TICKS_MM, [f"{tick:g}" for tick in _TICKS_MM])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, max(10.0, 1.15 * largest))


def _draw(axes: Axes, data: pd.DataFrame, metric: str, models: list[str], marks: Mapping[str, PatientStyle]) -> None:
    places = np.arange(len(models))
    values = [data.loc[data["model"] == model, metric].to_numpy() for model in models]
    axes.boxplot(
        values,
        positions=places,
        widths=0.62,
        showfliers=False,
        showmeans=True,
        boxprops=_BOX,
        whiskerprops=_BOX,
        capprops=_BOX,
        medianprops=_BOX | {"linewidth": 2.0},
        meanprops={"marker": "D", "markersize": 5, "markerfacecolor": "white", "markeredgecolor": "0.1"},
    )
    offsets = np.linspace(-0.22, 0.22, len(marks)) if len(marks) > 1 else np.zeros(1)
    for offset, (patient, look) in zip(offsets, marks.items(), strict=True):
        own = data[data["patient"] == patient]
        means = own.groupby("model")[metric].mean().reindex(models)
        axes.plot(places + offset, means, color=look.colour, linewidth=1.1, alpha=0.8, zorder=2)
        across = own["model"].map(models.index).to_numpy(float) + offset
        heights = own[metric].to_numpy(float)
        axes.scatter(across, heights, s=13, marker=look.shape, color=look.colour, linewidths=0, alpha=0.7, zorder=3)
        lost = (own["missing_in"] != "none").to_numpy()
        axes.scatter(across[lost], heights[lost], s=70, facecolors="none", edgecolors="0.1", linewidths=0.9, zorder=4)
    axes.set_xticks(places, models, fontsize=8, rotation=25, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.5, len(models) - 0.5)
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(marks: Mapping[str, PatientStyle], data: pd.DataFrame) -> list[Line2D]:
    handles = [Line2D([], [], marker="D", color="none", markeredgecolor="0.1", markersize=5, label="mean")]
    if (data["missing_in"] != "none").any():
        ring = Line2D([], [], marker="o", color="none", markeredgecolor="0.1", markersize=8, label="missed or false")
        handles.append(ring)
    if len(marks) > MOST_NAMED:
        handles.append(Line2D([], [], color=_GREY, label=f"each of {len(marks)} patients: cases, and their mean"))
        return handles
    return handles + [
        Line2D([], [], marker=look.shape, color=look.colour, markersize=4, linewidth=1.1, label=name)
        for name, look in marks.items()
    ]


_GREY = "0.4"
