"""Who and what an experiment was made of: patients, scans, voxel spacing, volumes of structures."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.structure_names import StructureNames

MOST_STRUCTURES = 12
"""Of a cohort with more structures than this the volumes aren't drawn."""


def cohort_table(groups: Mapping[str, Cohort]) -> pd.DataFrame:
    """A row for each group of cases (training, test, unlabelled scans, …) by the name that the report gives it."""
    rows = []
    for name, cohort in groups.items():
        spacings = np.array([case.geometry.spacing for case in cohort.cases]).reshape(-1, 3)
        shapes = np.array([case.geometry.shape for case in cohort.cases]).reshape(-1, 3)
        rows.append(
            {
                "group": name,
                "patients": len(cohort.patients),
                "cases": len(cohort.cases),
                "structures": _structures(cohort),
                "in-plane spacing (mm)": _range(spacings[:, 1:], "{:.2f}"),
                "slice spacing (mm)": _range(spacings[:, 0], "{:.2f}"),
                "slices": _range(shapes[:, 0], "{:.0f}"),
                "matrix": _range(shapes[:, 1:], "{:.0f}"),
            }
        )
    return pd.DataFrame(rows)


def cohort_figure(groups: Mapping[str, Cohort], names: StructureNames) -> Figure:
    """Patients and cases of each group, spacing of each scan, and the volume of each structure in each case."""
    contoured = {name: cohort for name, cohort in groups.items() if 0 < len(cohort.structures) <= MOST_STRUCTURES}
    figure = Figure(figsize=(12.5 if contoured else 8, 3.4), layout="constrained")
    panels = figure.subplots(1, 3 if contoured else 2, width_ratios=(1, 1, 1.5)[: 3 if contoured else 2])
    colours = {name: f"C{place % 10}" for place, name in enumerate(groups)}
    _draw_counts(panels[0], groups, colours)
    _draw_spacings(panels[1], groups, colours)
    if contoured:
        _draw_volumes(panels[2], contoured, colours, names)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _structures(cohort: Cohort) -> str:
    if len(cohort.structures) > MOST_STRUCTURES:
        return f"{len(cohort.structures)} classes"
    return ", ".join(cohort.structures) or "none"


def _range(values: np.ndarray, form: str) -> str:
    """Median (smallest–largest), or the one value that all have."""
    if not values.size:
        return "–"
    middle, low, high = (form.format(figure) for figure in (np.median(values), values.min(), values.max()))
    return middle if low == high else f"{middle} ({low}–{high})"


def _draw_counts(axes: Axes, groups: Mapping[str, Cohort], colours: Mapping[str, str]) -> None:
    places = np.arange(len(groups))
    for offset, counts, shade in (
        (-0.2, [len(cohort.patients) for cohort in groups.values()], 1.0),
        (0.2, [len(cohort.cases) for cohort in groups.values()], 0.5),
    ):
        bars = axes.barh(places + offset, counts, 0.38, color=[colours[name] for name in groups], alpha=shade)
        axes.bar_label(
            bars, labels=[f"{count} {'patients' if shade == 1 else 'cases'}" for count in counts], padding=3, fontsize=8
        )
    axes.set_yticks(places, list(groups))
    axes.invert_yaxis()
    axes.set_xmargin(0.35)
    axes.set_title("patients and cases", fontsize=10)


def _draw_spacings(axes: Axes, groups: Mapping[str, Cohort], colours: Mapping[str, str]) -> None:
    for name, cohort in groups.items():
        spacing = np.array([case.geometry.spacing for case in cohort.cases]).reshape(-1, 3)
        axes.scatter(spacing[:, 2], spacing[:, 0], color=colours[name], alpha=0.6, label=name, edgecolors="none")
    axes.set_xlabel("in-plane spacing (mm)")
    axes.set_ylabel("slice spacing (mm)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("voxel spacing of each scan", fontsize=10)


def _draw_volumes(axes: Axes, groups: Mapping[str, Cohort], colours: Mapping[str, str], names: StructureNames) -> None:
    structures = list(dict.fromkeys(structure for cohort in groups.values() for structure in cohort.structures))
    random = np.random.default_rng(0)
    for place, (name, cohort) in enumerate(groups.items()):
        points = [
            (structures.index(structure) + (place + 1) / (len(groups) + 1) - 0.5, volume)
            for case in cohort.cases
            for structure, volume in case.volumes_cm3.items()
        ]
        if points:
            x, y = np.array(points).T
            x = x + random.uniform(-0.06, 0.06, len(x))
            axes.scatter(x, y, s=14, color=colours[name], alpha=0.6, edgecolors="none", label=name)
    axes.set_xticks(range(len(structures)), [names.tg263(structure) for structure in structures], rotation=20)
    axes.set_yscale("log")
    axes.set_ylabel("volume (cm³)")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("volume of each structure in each case", fontsize=10)
