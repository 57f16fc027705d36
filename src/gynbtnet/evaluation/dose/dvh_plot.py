"""Plot of a cohort's dose-volume histograms: one panel per structure, one line per case."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gynbtnet.evaluation.dose.score import AUTOMATIC, CONTOUR_NAMES, MANUAL
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.picture import Picture, render_picture

MOST_LINES = 8
"""Largest number of cases that are drawn as single lines."""
_COLUMNS = 3
_STYLES: dict[str, dict[str, Any]] = {
    MANUAL: {"color": "#0072b2", "linestyle": "-"},
    AUTOMATIC: {"color": "#d55e00", "linestyle": (0, (4, 2))},
}
"""Blue and vermilion of Okabe and Ito, which colour-blind people can distinguish."""
_HOTTEST_PERCENT = 0.25
_MAX_TIMES_D50 = 5
"""A panel's dose axis ends at most at this multiple of the largest D50, since the dose near the source has no bound."""


def dvh_panels(curves: pd.DataFrame, *, synthetic: bool, prescription_gy: float | None = None) -> tuple[Picture, ...]:
    """Return the plot of :func:`dvh_figure` as one picture per structure."""
    names = StructureNames.load()
    return tuple(
        render_picture(
            dvh_figure(rows, synthetic=synthetic, prescription_gy=prescription_gy),
            f"Dose-volume histograms of {names.display_name(str(structure))}",
        )
        for structure, rows in curves.groupby("structure", sort=False)
    )


def curve_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Return one row per curve, with one column of doses in Gy per volume in %."""
    wide = curves.pivot(index=["case", "structure", "contours"], columns="volume_percent", values="dose_gy")
    wide.columns = pd.Index([f"D{percent:g} (Gy)" for percent in wide.columns])
    return wide.reset_index()


def dvh_figure(curves: pd.DataFrame, *, synthetic: bool, prescription_gy: float | None = None) -> Figure:
    """Plot the volume in % against the dose in Gy.

    Thick lines are the median of the cases, solid for the reference and dashed for the prediction. Thin lines are the
    cases. If there are more than ``MOST_LINES``, a band from their 10th to their 90th percentile replaces them.

    Args:
        curves: curves of one or more cases, as :func:`gynbtnet.evaluation.dose.score.score_dose` returns them.
        synthetic: whether the data are synthetic; the title then states it.
        prescription_gy: prescribed dose of a fraction in Gy, drawn as a dotted line; None: no line.
    """
    names = StructureNames.load()
    structures = list(curves["structure"].unique())
    columns = min(_COLUMNS, len(structures))
    rows = -(-len(structures) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.9 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, structure in zip(panels, structures, strict=False):
        _panel(panel, names.display_name(structure), curves[curves["structure"] == structure], prescription_gy)
    for panel in panels[len(structures) :]:
        panel.set_axis_off()
    cases = curves["case"].nunique()
    title = f"dose of one fraction, {cases} case{'s' * (cases > 1)}"
    figure.suptitle(f"Synthetic data: {title}" if synthetic else title.capitalize(), fontsize=10)
    return figure


def _panel(axes: Axes, title: str, curves: pd.DataFrame, prescription_gy: float | None) -> None:
    for contours, rows in curves.groupby("contours", sort=False):
        style = _STYLES[str(contours)]
        table = rows.pivot(index="volume_percent", columns="case", values="dose_gy")
        if table.shape[1] > MOST_LINES:
            low, high = (table.quantile(share, axis=1) for share in (0.1, 0.9))
            axes.fill_betweenx(table.index, low, high, color=style["color"], alpha=0.18, linewidth=0)
        elif table.shape[1] > 1:
            axes.plot(table.to_numpy(), table.index, linewidth=0.5, alpha=0.5, **style)
        axes.plot(table.median(axis=1), table.index, linewidth=1.8, label=CONTOUR_NAMES[str(contours)], **style)
    highest = curves.groupby("volume_percent")["dose_gy"].max()
    axes.set_xlim(0, np.nanmin([highest[_HOTTEST_PERCENT], _MAX_TIMES_D50 * highest[50]]))
    axes.set_ylim(0, 100)
    if prescription_gy is not None:
        label = f"prescribed, {prescription_gy:g} Gy"
        axes.axvline(prescription_gy, color="#0072b2", linestyle=":", linewidth=1.4, label=label)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("dose (Gy)")
    axes.set_ylabel("volume (%)")
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
