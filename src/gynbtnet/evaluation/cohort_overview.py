"""Who and what an experiment was made of: patients, scans, voxel spacing, volumes of structures."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.picture import Picture, picture

MOST_STRUCTURES = 12
"""Of a cohort with more structures than this the names aren't listed and the volumes not drawn."""


def cohort_table(groups: Mapping[str, Cohort]) -> pd.DataFrame:
    """A row for each group of cases (training, test, unlabelled scans, …) by the name that the report gives it."""
    return pd.DataFrame([_row(name, cohort) for name, cohort in groups.items()])


def cohort_pictures(groups: Mapping[str, Cohort]) -> tuple[Picture, ...]:
    """Patients and cases of each group, spacing of each scan, and the volume of each structure in each case."""
    colours = {name: f"C{place % 10}" for place, name in enumerate(groups)}
    contoured = {name: cohort for name, cohort in groups.items() if 0 < len(cohort.structures) <= MOST_STRUCTURES}
    pictures = [
        picture(_counts_figure(groups, colours), "Number of patients and cases in each group"),
        picture(_spacing_figure(groups, colours), "Slice spacing and in-plane spacing of each scan"),
    ]
    if contoured:
        pictures.append(picture(_volume_figure(contoured, colours), "Volume of each structure in each case"))
    return tuple(pictures)


def _row(name: str, cohort: Cohort) -> dict[str, object]:
    spacings, shapes = _spacings(cohort), np.array([case.geometry.shape for case in cohort.cases]).reshape(-1, 3)
    many = len(cohort.structures) > MOST_STRUCTURES
    return {
        "group": name,
        "structures": f"{len(cohort.structures)} classes" if many else ", ".join(cohort.structures) or "none",
        "patients": len(cohort.patients),
        "cases": len(cohort.cases),
        "slices": _range(shapes[:, 0], "{:.0f}"),
        "slice spacing (mm)": _range(spacings[:, 0], "{:.2f}"),
        "in-plane spacing (mm)": _range(spacings[:, 1:], "{:.2f}"),
    }


def _spacings(cohort: Cohort) -> npt.NDArray[np.float64]:
    return np.array([case.geometry.spacing for case in cohort.cases]).reshape(-1, 3)


def _range(values: npt.NDArray[np.number], form: str) -> str:
    """Median (smallest–largest), or the one value that all have."""
    if not values.size:
        return "–"
    middle, low, high = (form.format(figure) for figure in (np.median(values), values.min(), values.max()))
    return middle if low == high else f"{middle} ({low}–{high})"


def _panel(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.6, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _counts_figure(groups: Mapping[str, Cohort], colours: Mapping[str, str]) -> Figure:
    figure, axes = _panel("patients and cases")
    places = np.arange(len(groups))
    patients = [len(cohort.patients) for cohort in groups.values()]
    cases = [len(cohort.cases) for cohort in groups.values()]
    for words, counts, offset, alpha in (("patients", patients, -0.2, 1.0), ("cases", cases, 0.2, 0.5)):
        bars = axes.barh(places + offset, counts, 0.38, color=[colours[name] for name in groups], alpha=alpha)
        axes.bar_label(bars, labels=[f"{count} {words}" for count in counts], padding=3, fontsize=8)
    axes.set_yticks(places, list(groups), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.4 * max(1, *cases))
    return figure


def _spacing_figure(groups: Mapping[str, Cohort], colours: Mapping[str, str]) -> Figure:
    figure, axes = _panel("voxel spacing of each scan")
    for name, cohort in groups.items():
        spacings = _spacings(cohort)
        axes.scatter(spacings[:, 2], spacings[:, 0], color=colours[name], alpha=0.6, label=name, edgecolors="none")
    axes.set(xlabel="in-plane spacing (mm)", ylabel="slice spacing (mm)")
    axes.margins(0.1)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def _volume_figure(groups: Mapping[str, Cohort], colours: Mapping[str, str]) -> Figure:
    figure, axes = _panel("volume of each structure in each case")
    structures = list(dict.fromkeys(structure for cohort in groups.values() for structure in cohort.structures))
    random = np.random.default_rng(0)
    for place, (name, cohort) in enumerate(groups.items(), start=1):
        offset = place / (len(groups) + 1) - 0.5
        drawn = [(s, volume) for case in cohort.cases for s, volume in case.volumes_cm3.items() if volume > 0]
        across = [structures.index(structure) + offset + random.uniform(-0.06, 0.06) for structure, _ in drawn]
        up = [volume for _, volume in drawn]
        axes.scatter(across, up, s=14, color=colours[name], alpha=0.6, edgecolors="none", label=name)
    axes.set_xticks(range(len(structures)), structures, fontsize=8, rotation=20)
    axes.set_xlim(-0.6, len(structures) - 0.4)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("cm³")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure
