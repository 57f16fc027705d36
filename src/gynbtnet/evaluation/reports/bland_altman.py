"""Bland–Altman plots: difference between a predicted and a reference measurement against their mean."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.metrics import NOT_SCORED
from gynbtnet.evaluation.metrics.score_table import score_table
from gynbtnet.evaluation.reports.patient_styles import MOST_NAMED, PatientStyle, patient_styles
from gynbtnet.evaluation.statistics.agreement import LimitsOfAgreement, limits_of_agreement
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.phrases import counted

_LEGEND_INCHES = 1.7
"""Width of a legend entry: its marker, its text and the space after it."""
_MOST_COLUMNS = 3
_FEWEST_FOR_BANDS = 8
"""Number of patients from which the 95 % intervals of bias and limits are drawn: with fewer, they cover one another."""
COLUMNS = ("structure", "model", "patient", "case", "automatic", "manual")


def volume_pairs(evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Return the predicted and the true volume of each case, structure and model.

    Args:
        evaluations: scores by model.

    Returns:
        One row per case, structure and model, with ``COLUMNS``: ``automatic`` is the volume of the prediction and
        ``manual`` that of the truth, in cm³. If only one of the two has the structure, the other volume is 0. There is
        no row if neither has it, or if its score is unknown.
    """
    tables = [score_table(evaluation.scores).assign(model=name) for name, evaluation in evaluations.items()]
    table = pd.concat(tables, ignore_index=True)
    table = table[~table["missing_in"].isin(NOT_SCORED)]
    renamed = table.rename(columns={"prediction_cm3": "automatic", "truth_cm3": "manual"})
    return renamed[list(COLUMNS)].reset_index(drop=True)


def with_differences(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return ``pairs`` with the plotted columns added: ``mean``, and ``difference`` (automatic minus manual)."""
    mean = (pairs["automatic"] + pairs["manual"]) / 2
    return pairs.assign(mean=mean, difference=pairs["automatic"] - pairs["manual"])


def agreement_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return bias and limits of agreement with their 95 % intervals.

    Args:
        pairs: measurements with the columns ``COLUMNS``.

    Returns:
        One row per structure and model. Columns: ``structure``, ``model``, ``cases``, ``patients``, ``sd``; ``bias``,
        ``lower`` and ``upper``, each also with ``_low`` and ``_high``; all in the unit of ``pairs``.
    """
    rows = []
    for (structure, model), group in with_differences(pairs).groupby(["structure", "model"], sort=False):
        limits = limits_of_agreement(group["difference"].to_numpy(), list(group["patient"]))
        row: dict[str, Any] = {"structure": structure, "model": model}
        row |= {"cases": limits.cases, "patients": limits.patients, "sd": limits.sd}
        for name in ("bias", "lower", "upper"):
            low, high = getattr(limits, f"{name}_interval")
            row |= {name: getattr(limits, name), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    ends = [f"{name}{end}" for name in ("bias", "lower", "upper") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["structure", "model", "cases", "patients", "sd", *ends])


def bland_altman_figure(
    pairs: pd.DataFrame, quantity: str, unit: str, note: str = "", names: StructureNames | None = None
) -> Figure:
    """Plot differences against means, one panel per structure and model; three panels per row for a single model.

    Each dot is a case, in its patient's colour and shape. The solid line is the bias, the dashed lines are the limits
    of agreement. Bands are their 95 % intervals, if there are at least eight patients. All models of a structure share
    their axes. The method is :func:`gynbtnet.evaluation.statistics.agreement.limits_of_agreement`.

    Args:
        pairs: measurements with the columns ``COLUMNS``.
        quantity: the measured quantity, "volume" or "D2cc" for instance.
        unit: unit of both measurements.
        note: a few words at the top right, "synthetic data" for instance.
        names: names of the structures; None: the built-in table.
    """
    names = names or StructureNames.load()
    data = with_differences(pairs)
    structures, models = (list(dict.fromkeys(data[name])) for name in ("structure", "model"))
    styles = patient_styles(data["patient"])
    is_one_model = len(models) < 2
    columns = min(_MOST_COLUMNS, max(1, len(structures))) if is_one_model else len(models)
    rows = max(1, -(-len(structures) // columns) if is_one_model else len(structures))
    handles, width = _legend(styles), max(3.8, columns * 3.4)
    legend_columns = int(width / _LEGEND_INCHES)
    height = rows * 2.6 + 0.4 - (-len(handles) // legend_columns) * 0.18
    figure = Figure(figsize=(width, height), layout="constrained")
    share: Literal["row", "none"] = "none" if is_one_model else "row"
    panels = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
    shown = [(structure, model) for structure in structures for model in models]
    for axes, (structure, model) in zip(panels.flat, shown, strict=False):
        _draw(axes, data[(data["structure"] == structure) & (data["model"] == model)], styles)
        title = names.display_name(structure)
        axes.set_title(title if is_one_model else f"{title}, {model}", fontsize=9)
        axes.set_xlabel(f"mean {quantity} ({unit})", fontsize=8)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel(f"prediction − reference\n({unit})", fontsize=8)
    if note:
        figure.suptitle(note, fontsize=10, color="0.4", ha="right", x=0.99)
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns, frameon=False, fontsize=8)
    return figure


def _draw(axes: Axes, data: pd.DataFrame, styles: Mapping[str, PatientStyle]) -> None:
    limits = limits_of_agreement(data["difference"].to_numpy(), list(data["patient"]))
    axes.axhline(0, color="0.75", linewidth=0.8, zorder=1)
    for place, (name, line_style) in enumerate((("lower", "--"), ("bias", "-"), ("upper", "--"))):
        _draw_line(axes, limits, name, line_style, 0.86 + 0.03 * place)
    for patient, style in styles.items():
        cases = data[data["patient"] == patient]
        axes.scatter(
            cases["mean"],
            cases["difference"],
            s=18,
            marker=style.shape,
            color=style.colour,
            linewidths=0,
            alpha=0.85,
            zorder=3,
        )
    axes.tick_params(labelsize=8)
    axes.margins(x=0.22, y=0.1)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_line(axes: Axes, limits: LimitsOfAgreement, name: str, line_style: str, bar: float) -> None:
    """Draw a line with its value at the right, and its interval as a bar at ``bar``, a share of the panel's width.

    The bar doesn't change the range of the axis.
    """
    value, (low, high) = getattr(limits, name), getattr(limits, f"{name}_interval")
    if np.isnan(value):
        return
    axes.axhline(value, color="0.25", linestyle=line_style, linewidth=1.1, zorder=2)
    if not np.isnan(low) and limits.patients >= _FEWEST_FOR_BANDS:
        axes.axhspan(low, high, color="0.5", alpha=0.15, linewidth=0, zorder=0)
    axes.text(
        0.995,
        value,
        f"{value:+z.1f}".replace("-", "−"),
        transform=axes.get_yaxis_transform(),
        ha="right",
        va="bottom",
        fontsize=7,
        color="0.25",
        zorder=4,
    )


def _legend(styles: Mapping[str, PatientStyle]) -> list[Line2D]:
    handles = [
        Line2D([], [], color="0.25", linewidth=1.1, label="bias"),
        Line2D([], [], color="0.25", linewidth=1.1, linestyle="--", label="limits of agreement"),
    ]
    if len(styles) >= _FEWEST_FOR_BANDS:
        handles.append(Line2D([], [], color="0.5", alpha=0.3, linewidth=6, label="95 % interval"))
    if len(styles) > MOST_NAMED:
        return [
            *handles,
            Line2D([], [], marker="o", color="none", markeredgecolor="0.3", label=counted(len(styles), "patient")),
        ]
    return handles + [
        Line2D([], [], marker=style.shape, color=style.colour, linewidth=0, markersize=4, label=patient)
        for patient, style in styles.items()
    ]
