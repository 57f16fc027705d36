"""Training curves from the ``log.csv`` of a run folder."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gynbtnet.errors import BadInput

MOST_NAMED = 8
"""More lines than this in one panel, a class each for instance, are thin and grey but for their means."""


def read_log(run: Path) -> pd.DataFrame:
    """The log of a run folder, a row an epoch.

    Raises:
        BadInput: where there is none, or it names no epoch.
    """
    path = Path(run) / "log.csv"
    if not path.is_file() or not path.stat().st_size:
        raise BadInput(f"There is no {path}; expected the log of a training run, is {run} a run folder?")
    log = pd.read_csv(path)
    if "epoch" not in log.columns:
        raise BadInput(
            f"{path} has the columns {', '.join(log.columns)}; expected one named epoch, as training writes it."
        )
    return log


def curves_figure(log: pd.DataFrame) -> Figure:
    """Losses, other validation figures and the learning rate over epochs, a panel for each that the log has.

    ``log`` has the columns ``epoch`` and any of ``*loss*``, ``validation_*`` and ``learning_rate``; epochs in which a
    figure is empty are bridged.
    """
    losses = [name for name in log.columns if "loss" in name]
    others = [name for name in log.columns if name.startswith("validation_") and name not in losses]
    rates = [name for name in log.columns if name == "learning_rate"]
    wanted = (("loss", losses), ("validation", others), ("learning rate", rates))
    panels = [
        (title, drawn) for title, names in wanted if (drawn := [name for name in names if log[name].notna().any()])
    ]
    figure = Figure(figsize=(4.2 * max(1, len(panels)), 3), layout="constrained")
    for place, (title, names) in enumerate(panels, start=1):
        _draw(figure.add_subplot(1, len(panels), place), log, title, names)
    return figure


def _draw(axes: Axes, log: pd.DataFrame, title: str, names: list[str]) -> None:
    crowded = len(names) > MOST_NAMED
    for name in names:
        points = log[["epoch", name]].dropna()
        minor = crowded and "mean" not in name
        style: dict[str, Any] = (
            {"color": "0.8", "linewidth": 0.6} if minor else {"label": name.replace("_", " "), "linewidth": 1.6}
        )
        axes.plot(points["epoch"], points[name], marker="o" if len(points) == 1 else "", **style)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch")
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
