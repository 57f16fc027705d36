"""Dose-volume histograms of a cohort as one picture: a panel a structure, a line a case."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gynbtnet.evaluation.dose.score import AUTOMATIC, MANUAL
from gynbtnet.pictures.picture import Picture, picture

_COLUMNS = 3
_STYLES: dict[str, dict[str, Any]] = {
    MANUAL: {"color": "black", "linestyle": "-"},
    AUTOMATIC: {"color": "#d55e00", "linestyle": (0, (4, 2))},  # vermilion of Okabe and Ito, for any eyes
}
_HOTTEST_PERCENT = 0.25
_TIMES_D50 = 5
"""Of a panel, whichever is less: the dose to the hottest part of any case, and so many times the largest D50, since the
dose near the source has no bound."""


def dvh_panels(curves: pd.DataFrame, *, synthetic: bool) -> tuple[Picture, ...]:
    """The picture of :func:`dvh_figure` in parts, one a structure."""
    return tuple(
        picture(dvh_figure(of, synthetic=synthetic), f"Dose-volume histograms of {structure}")
        for structure, of in curves.groupby("structure", sort=False)
    )


def curve_table(curves: pd.DataFrame) -> pd.DataFrame:
    """The same curves, a row each: a column a share of the volume in %, doses in Gy."""
    wide = curves.pivot(index=["case", "structure", "contours"], columns="volume_percent", values="dose_gy")
    wide.columns = pd.Index([f"D{percent:g} (Gy)" for percent in wide.columns])
    return wide.reset_index()


def dvh_figure(curves: pd.DataFrame, *, synthetic: bool) -> Figure:
    """Volume in % over dose in Gy; thin: cases, thick: their median; solid: manual, dashed: automatic.

    ``curves`` as :func:`gynbtnet.evaluation.dose.score.score_dose` returns them, of one or more cases.
    """
    structures = list(curves["structure"].unique())
    columns = min(_COLUMNS, len(structures))
    rows = -(-len(structures) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.9 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, structure in zip(panels, structures, strict=False):
        _panel(panel, structure, curves[curves["structure"] == structure])
    for panel in panels[len(structures) :]:
        panel.set_axis_off()
    cases = curves["case"].nunique()
    said = f"dose of one fraction, {cases} case{'s' * (cases > 1)}"
    figure.suptitle(f"Synthetic data: {said}" if synthetic else said.capitalize(), fontsize=10)
    return figure


def _panel(axes: Axes, structure: str, curves: pd.DataFrame) -> None:
    for who, of_who in curves.groupby("contours", sort=False):
        style = _STYLES[str(who)]
        table = of_who.pivot(index="volume_percent", columns="case", values="dose_gy")
        if table.shape[1] > 1:
            axes.plot(table.to_numpy(), table.index, linewidth=0.5, alpha=0.5, **style)
        axes.plot(table.median(axis=1), table.index, linewidth=1.8, label=str(who), **style)
    most = curves.groupby("volume_percent")["dose_gy"].max()
    axes.set_xlim(0, np.nanmin([most[_HOTTEST_PERCENT], _TIMES_D50 * most[50]]))
    axes.set_ylim(0, 100)
    axes.set_title(structure, fontsize=10)
    axes.set_xlabel("dose (Gy)")
    axes.set_ylabel("volume (%)")
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
