"""Training curves from the ``log.csv`` of a run folder."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from gynbtnet.runtime.errors import BadInput

MOST_NAMED = 8
"""More lines than this in one panel, a class each for instance, are thin and grey but for their means."""


def read_log(run: Path) -> pd.DataFrame:
    """The log of a run folder, a row an epoch.

    Raises:
        BadInput: where there is none, it names no epoch, or it is damaged.
    """
    path = Path(run) / "log.csv"
    if not path.is_file() or not path.stat().st_size:
        raise BadInput(f"There is no {path}; expected the log of a training run, is {run} a run folder?")
    try:
        log = pd.read_csv(path)
    except ValueError as error:  # what pandas raises where a file is no table or no text is one
        raise BadInput(f"{path} is damaged; expected a table with a row an epoch, as training writes it.") from error
    if "epoch" not in log.columns:
        raise BadInput(
            f"{path} has the columns {', '.join(log.columns)}; expected one named epoch, as training writes it."
        )
    return log


def curve_figures(log: pd.DataFrame) -> dict[str, Figure]:
    """Losses, Dice on validation patches, and the learning rate: a figure for each that the log has.

    ``log`` has the column ``epoch`` and any of ``*loss*``, ``dice_*`` and ``learning_rate``; an epoch in which a figure
    is empty, for it wasn't validated, is bridged.
    """
    return {title: _curve_figure(log, title, names) for title, names in plotted_columns(log).items()}


def plotted_columns(log: pd.DataFrame) -> dict[str, list[str]]:
    """By the title of each figure the columns of the log that are drawn in it."""
    wanted = {
        "loss": [name for name in log.columns if "loss" in name],
        "Dice on validation patches": [name for name in log.columns if name.startswith("dice_")],
        "learning rate": [name for name in log.columns if name == "learning_rate"],
    }
    drawn = {title: [name for name in names if log[name].notna().any()] for title, names in wanted.items()}
    return {title: names for title, names in drawn.items() if names}


def _curve_figure(log: pd.DataFrame, title: str, names: list[str]) -> Figure:
    figure = Figure(figsize=(3.6, 2.7), layout="constrained")
    axes = figure.add_subplot()
    crowded = len(names) > MOST_NAMED
    for name in names:
        points = log[["epoch", name]].dropna()
        minor = crowded and "mean" not in name
        style: dict[str, Any] = (
            {"color": "0.8", "linewidth": 0.6, "zorder": 1} if minor else {"label": _label(name), "linewidth": 1.6}
        )
        axes.plot(points["epoch"], points[name], marker="o" if len(points) == 1 else "", **style)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch")
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        axes.legend(frameon=False, fontsize=8)
    return figure


def _label(name: str) -> str:
    return name.removeprefix("dice_").removesuffix("_loss").replace("loss", "training")
