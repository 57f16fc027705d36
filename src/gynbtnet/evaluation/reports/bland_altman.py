"""Bland–Altman: how far automatic and manual figures of a case are apart, against how large they are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.score_table import score_table
from gynbtnet.evaluation.reports.patient_styles import MOST_NAMED, PatientStyle, patient_styles
from gynbtnet.evaluation.statistics.agreement import LimitsOfAgreement, limits_of_agreement

_LEGEND_INCHES = 1.7
"""Of an entry, its mark and the space behind it."""
COLUMNS = ("structure", "model", "patient", "case", "automatic", "manual")


def volume_pairs(evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Volumes in cm³ by prediction (``automatic``) and truth (``manual``), a row a case, structure and model.

    A structure that one side lacks has the volume 0 there; where both lack it, or the truth doesn't say, there is no
    row.
    """
    tables = [score_table(evaluation.scores).assign(model=name) for name, evaluation in evaluations.items()]
    table = pd.concat(tables, ignore_index=True)
    table = table[~table["missing_in"].isin(["both", "unknown"])]
    named = table.rename(columns={"prediction_cm3": "automatic", "truth_cm3": "manual"})
    return named[list(COLUMNS)].reset_index(drop=True)


def with_differences(pairs: pd.DataFrame) -> pd.DataFrame:
    """The same with ``mean`` and ``difference``, automatic minus manual: what is drawn."""
    mean = (pairs["automatic"] + pairs["manual"]) / 2
    return pairs.assign(mean=mean, difference=pairs["automatic"] - pairs["manual"])


def agreement_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """Bias and limits of agreement with 95 % intervals, a row a structure and model.

    Columns: ``structure``, ``model``, ``cases``, ``patients``, ``sd``; ``bias``, ``lower`` and ``upper``, each with
    ``_low`` and ``_high``; all in the unit of ``pairs``.
    """
    rows = []
    for (structure, model), of_panel in with_differences(pairs).groupby(["structure", "model"], sort=False):
        found = limits_of_agreement(of_panel["difference"].to_numpy(), list(of_panel["patient"]))
        row: dict[str, Any] = {"structure": structure, "model": model}
        row |= {"cases": found.cases, "patients": found.patients, "sd": found.sd}
        for name in ("bias", "lower", "upper"):
            low, high = getattr(found, f"{name}_interval")
            row |= {name: getattr(found, name), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    ends = [f"{name}{end}" for name in ("bias", "lower", "upper") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["structure", "model", "cases", "patients", "sd", *ends])


def bland_altman_figure(pairs: pd.DataFrame, quantity: str, unit: str, note: str = "") -> Figure:
    """A panel a structure and model: differences against means, in each patient's colour and shape.

    The line is the bias, the dashed ones are the limits of agreement, the bands their 95 % intervals, all by
    :func:`gynbtnet.evaluation.statistics.agreement.agreement`. Panels of a structure share their axes.

    Args:
        pairs: columns ``structure``, ``model``, ``patient``, ``case``, ``automatic`` and ``manual``.
        quantity: what was measured, "volume" or "D2cc" for instance.
        unit: of both.
        note: a few words at the top right, "synthetic data" for instance.
    """
    drawn = with_differences(pairs)
    structures, models = (list(dict.fromkeys(drawn[name])) for name in ("structure", "model"))
    marks = patient_styles(drawn["patient"])
    rows, columns = max(1, len(structures)), max(1, len(models))
    handles, width = _legend(marks), max(3.8, columns * 3.1)
    across = int(width / _LEGEND_INCHES)
    height = rows * 2.3 + 0.4 - (-len(handles) // across) * 0.18
    figure = Figure(figsize=(width, height), layout="constrained")
    panels: npt.NDArray[np.object_] = figure.subplots(rows, columns, squeeze=False, sharex="row", sharey="row")
    for row, structure in zip(panels, structures, strict=False):
        for axes, model in zip(row, models, strict=True):
            own = drawn[(drawn["structure"] == structure) & (drawn["model"] == model)]
            _draw(axes, own, marks)
            axes.set_title(f"{structure}, {model}", fontsize=9)
        row[0].set_ylabel(f"automatic − manual\n({unit})", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel(f"mean {quantity} ({unit})", fontsize=8)
    if note:
        figure.suptitle(note, fontsize=10, color="0.4", ha="right", x=0.99)
    figure.legend(handles=handles, loc="outside lower center", ncols=across, frameon=False, fontsize=8)
    return figure


def _draw(axes: Axes, data: pd.DataFrame, marks: Mapping[str, PatientStyle]) -> None:
    found = limits_of_agreement(data["difference"].to_numpy(), list(data["patient"]))
    axes.axhline(0, color="0.75", linewidth=0.8, zorder=1)
    for name, style in (("bias", "-"), ("lower", "--"), ("upper", "--")):
        _line(axes, found, name, style)
    for patient, look in marks.items():
        own = data[data["patient"] == patient]
        axes.scatter(
            own["mean"],
            own["difference"],
            s=18,
            marker=look.shape,
            color=look.colour,
            linewidths=0,
            alpha=0.85,
            zorder=3,
        )
    axes.tick_params(labelsize=8)
    axes.margins(x=0.18, y=0.08)
    axes.spines[["top", "right"]].set_visible(False)


def _line(axes: Axes, found: LimitsOfAgreement, name: str, style: str) -> None:
    """The line with its value at the right, and its interval as a band."""
    value, (low, high) = getattr(found, name), getattr(found, f"{name}_interval")
    if np.isnan(value):
        return
    axes.axhline(value, color="0.25", linestyle=style, linewidth=1.1, zorder=2)
    if not np.isnan(low):
        axes.axhspan(low, high, color="0.5", alpha=0.15, linewidth=0, zorder=0)
    right = axes.get_yaxis_transform()
    axes.text(
        0.995,
        value,
        f"{value:+z.1f}".replace("-", "−"),
        transform=right,
        ha="right",
        va="bottom",
        fontsize=7,
        color="0.25",
        zorder=4,
    )


def _legend(marks: Mapping[str, PatientStyle]) -> list[Line2D]:
    handles = [
        Line2D([], [], color="0.25", linewidth=1.1, label="bias"),
        Line2D([], [], color="0.25", linewidth=1.1, linestyle="--", label="limits of agreement"),
        Line2D([], [], color="0.5", alpha=0.3, linewidth=6, label="95 % interval"),
    ]
    if len(marks) > MOST_NAMED:
        return [
            *handles,
            Line2D([], [], marker="o", color="none", markeredgecolor="0.3", label=f"{len(marks)} patients"),
        ]
    return handles + [
        Line2D([], [], marker=look.shape, color=look.colour, linewidth=0, markersize=4, label=name)
        for name, look in marks.items()
    ]
