"""Training curves from the ``log.csv`` of a run folder."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput

MOST_NAMED = 8
"""Number of lines in a panel up to which each has a colour; with more, only means have one and the others are grey."""


def read_log(run: Path) -> pd.DataFrame:
    """Read the log of a run folder: one row per epoch.

    Raises:
        BadInput: If there is no log, it has no column ``epoch`` or no rows, or it is damaged.
    """
    path = Path(run) / "log.csv"
    if not path.is_file() or not path.stat().st_size:
        raise BadInput(f"There is no {path}; expected the log of a training run. Is {run} a run folder?")
    try:
        log = pd.read_csv(path)
    except ValueError as error:  # raised by pandas if the file is not a table, or not text
        raise BadInput(f"{path} is damaged; expected a table with one row per epoch, as training writes it.") from error
    if "epoch" not in log.columns:
        raise BadInput(
            f"{path} has the columns {', '.join(log.columns)}; expected a column named epoch, as training writes it."
        )
    if log.empty:
        raise BadInput(f"{path} is damaged: it has no rows; expected one row per epoch, as training writes it.")
    texts = [name for name in log.columns if not pd.api.types.is_numeric_dtype(log[name])]
    if texts or log["epoch"].isna().any():
        raise BadInput(
            f"{path} is damaged: its column {[*texts, 'epoch'][0]} has values that aren't numbers; delete the damaged "
            "rows."
        )
    return log


def curve_figures(log: pd.DataFrame, names: StructureNames | None = None) -> dict[str, Figure]:
    """Plot losses, Dice on validation patches, and learning rate over epochs.

    Args:
        log: table with the column ``epoch`` and any of ``*loss*``, ``dice_*`` and ``learning_rate``. Lines skip epochs
            without a value, for instance without validation.
        names: names of the structures; None: the built-in table.

    Returns:
        By title, one figure per group of columns that the log has.
    """
    names = names or StructureNames.load()
    return {title: _curve_figure(log, title, columns, names) for title, columns in plotted_columns(log).items()}


def plotted_columns(log: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns of the log that each figure shows, by its title; columns without any value are left out."""
    candidates = {
        "loss": [name for name in log.columns if "loss" in name],
        "Dice on validation patches": [name for name in log.columns if name.startswith("dice_")],
        "learning rate": [name for name in log.columns if name == "learning_rate"],
    }
    plotted = {title: [name for name in names if log[name].notna().any()] for title, names in candidates.items()}
    return {title: names for title, names in plotted.items() if names}


def _curve_figure(log: pd.DataFrame, title: str, columns: list[str], names: StructureNames) -> Figure:
    figure = Figure(figsize=(3.6, 2.7), layout="constrained")
    axes = figure.add_subplot()
    crowded = len(columns) > MOST_NAMED
    for column in columns:
        points = log[["epoch", column]].dropna()
        minor = crowded and "mean" not in column
        style: dict[str, Any] = (
            {"color": "0.8", "linewidth": 0.6, "zorder": 1}
            if minor
            else {"label": _label(column, names), "linewidth": 1.6}
        )
        axes.plot(points["epoch"], points[column], marker="o" if len(points) == 1 else "", **style)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    if len(columns) > 1:
        axes.legend(frameon=False, fontsize=8)
    return figure


def _label(column: str, names: StructureNames) -> str:
    if column.startswith("dice_"):
        return names.display_name(column.removeprefix("dice_"))
    return column.removesuffix("_loss").replace("loss", "training")
