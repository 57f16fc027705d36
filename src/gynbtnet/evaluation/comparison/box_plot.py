"""Box plots of models side by side, with a dot per case and a line per patient from model to model."""

from collections.abc import Mapping, Sequence

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
from gynbtnet.imaging.structure_names import StructureNames

MOST_COLUMNS = 3
_TICKS_MM = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_LEGEND_INCHES = 1.3
"""Width of a name in the legend."""
_BOX = {"color": "0.25", "linewidth": 1.0}
_GREY = "0.4"


def box_data(evaluations: Mapping[str, Evaluation], metric: str) -> pd.DataFrame:
    """Return the plotted data.

    Args:
        evaluations: scores by model.
        metric: the metric to plot.

    Returns:
        One row per scored case, structure and model, with ``structure``, ``model``, ``patient``, ``case``,
        ``missing_in`` and the metric.
    """
    tables = [score_table(evaluation.scores).assign(model=name) for name, evaluation in evaluations.items()]
    table = pd.concat(tables, ignore_index=True)
    return table.loc[table[metric].notna(), ["structure", "model", "patient", "case", "missing_in", metric]]


def box_figure(data: pd.DataFrame, metric: str, note: str = "", names: StructureNames | None = None) -> Figure:
    """Plot one panel per structure.

    A box shows median and quartiles, its whiskers reach to 1.5 times the interquartile range, a diamond is the mean.
    Each dot is a case, each line connects the means of a patient, in one colour and shape in all panels. A ring marks
    cases in which the structure is missed or false and has the worst score. Distance axes are logarithmic above 1 mm.

    Args:
        data: table of :func:`box_data`.
        metric: the column of the metric.
        note: a few words at the top right, "synthetic data" for instance.
        names: names of the structures; None: the built-in table.
    """
    names = names or StructureNames.load()
    structures, models = (list(dict.fromkeys(data[column])) for column in ("structure", "model"))
    styles = patient_styles(data["patient"])
    columns = min(MOST_COLUMNS, max(1, len(structures)))
    rows = -(-max(1, len(structures)) // columns)
    width = columns * max(2.6, 0.75 * len(models) + 1.0)
    figure = Figure(figsize=(width, rows * 3.4 + 0.6), layout="constrained")
    panels: npt.NDArray[np.object_] = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(structures) :]:
        axes.set_visible(False)
    for number, (structure, axes) in enumerate(zip(structures, panels, strict=False)):
        _draw_panel(axes, data[data["structure"] == structure], metric, models, styles)
        axes.set_title(names.display_name(structure), fontsize=10)
        if number % columns == 0:
            axes.set_ylabel(
                f"{METRICS[metric]}, {'larger' if BETTER_SIGN[metric] > 0 else 'smaller'} is better", fontsize=9
            )
    if structures:
        _scale(panels[0], metric, float(data[metric].max()))
    if note:
        figure.suptitle(note, fontsize=10, color="0.4", ha="right", x=0.99)
    legend_columns = int(width / _LEGEND_INCHES)
    handles = _legend(styles, data)
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns, frameon=False, fontsize=8)
    return figure


def _scale(axes: Axes, metric: str, largest: float) -> None:
    """Set the axis: shares up to 1; distances linear up to 1 mm and logarithmic above.

    On a linear axis a missed structure would flatten all others.
    """
    if not METRICS[metric].endswith("(mm)"):
        axes.set_ylim(top=1.02)
        return
    axes.set_yscale("symlog", linthresh=1.0, linscale=0.4)
    axes.set_yticks(_TICKS_MM, [f"{tick:g}" for tick in _TICKS_MM])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, max(10.0, 1.15 * largest))


def _draw_panel(
    axes: Axes, data: pd.DataFrame, metric: str, models: list[str], styles: Mapping[str, PatientStyle]
) -> None:
    positions = np.arange(len(models))
    _draw_boxes(axes, [data.loc[data["model"] == model, metric].to_numpy() for model in models])
    offsets = np.linspace(-0.22, 0.22, len(styles)) if len(styles) > 1 else np.zeros(1)
    for offset, (patient, style) in zip(offsets, styles.items(), strict=True):
        cases = data[data["patient"] == patient]
        means = cases.groupby("model")[metric].mean().reindex(models)
        axes.plot(positions + offset, means, color=style.colour, linewidth=1.1, alpha=0.8, zorder=2)
        x = cases["model"].map(models.index).to_numpy(float) + offset
        y = cases[metric].to_numpy(float)
        axes.scatter(x, y, s=13, marker=style.shape, color=style.colour, linewidths=0, alpha=0.7, zorder=3)
        missed = (cases["missing_in"] != "none").to_numpy()
        axes.scatter(x[missed], y[missed], s=70, facecolors="none", edgecolors="0.1", linewidths=0.9, zorder=4)
    axes.set_xticks(positions, models, fontsize=8, rotation=25, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.5, len(models) - 0.5)
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_boxes(axes: Axes, values: Sequence[npt.NDArray[np.float64]]) -> None:
    axes.boxplot(
        values,
        positions=np.arange(len(values)),
        widths=0.62,
        showfliers=False,
        showmeans=True,
        boxprops=_BOX,
        whiskerprops=_BOX,
        capprops=_BOX,
        medianprops=_BOX | {"linewidth": 2.0},
        meanprops={"marker": "D", "markersize": 5, "markerfacecolor": "white", "markeredgecolor": "0.1"},
    )


def _legend(styles: Mapping[str, PatientStyle], data: pd.DataFrame) -> list[Line2D]:
    handles = [Line2D([], [], marker="D", color="none", markeredgecolor="0.1", markersize=5, label="mean")]
    if (data["missing_in"] != "none").any():
        ring = Line2D([], [], marker="o", color="none", markeredgecolor="0.1", markersize=8, label="missed or false")
        handles.append(ring)
    if len(styles) > MOST_NAMED:
        handles.append(Line2D([], [], color=_GREY, label=f"each of {len(styles)} patients: cases, and their mean"))
        return handles
    return handles + [
        Line2D([], [], marker=style.shape, color=style.colour, markersize=4, linewidth=1.1, label=patient)
        for patient, style in styles.items()
    ]
