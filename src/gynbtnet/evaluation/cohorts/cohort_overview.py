"""Overview of a cohort: patients, scans, voxel spacing, applicators, volumes of structures."""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.cohorts.outliers import find_outliers
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.picture import Picture, render_picture

MOST_STRUCTURES = 12
"""Number of structures up to which names are listed and volumes are plotted."""


def cohort_table(groups: Mapping[str, Cohort], names: StructureNames | None = None) -> pd.DataFrame:
    """Return one row per group of cases, as people read it.

    Args:
        groups: training cases, test cases, unlabelled scans, …, by the name that the report gives them.
        names: names of the structures; None: the built-in table.
    """
    names = names or StructureNames.load()
    return pd.DataFrame([_row(name, cohort, names) for name, cohort in groups.items()])


def structure_table(cohort: Cohort, names: StructureNames | None = None) -> pd.DataFrame:
    """Return one row per structure, as people read it: number of cases with it, and median and range of its volume.

    Args:
        cohort: the cases.
        names: names of the structures; None: the built-in table.
    """
    names = names or StructureNames.load()
    rows = []
    for structure in cohort.structures:
        volumes = [case.volumes_cm3[structure] for case in cohort.cases if case.volumes_cm3.get(structure, 0) > 0]
        rows.append(
            {
                "structure": names.display_name(structure),
                "cases": len(volumes),
                "without": len(cohort.cases) - len(volumes),
                "volume (cm³)": _range(np.array(volumes), "{:.4g}"),
                "volume (mm³)": _range(1000 * np.array(volumes), "{:.0f}"),
            }
        )
    return pd.DataFrame(rows, columns=["structure", "cases", "without", "volume (cm³)", "volume (mm³)"])


def applicator_table(cohort: Cohort) -> pd.DataFrame:
    """Return one row per applicator, unknown included: patients, fractions, and the source of the information."""
    rows = []
    for applicator in sorted({case.applicator or "" for case in cohort.cases}, key=lambda name: (not name, name)):
        cases = [case for case in cohort.cases if (case.applicator or "") == applicator]
        rows.append(
            {
                "applicator": applicator or "unknown",
                "patients": len({case.patient for case in cases}),
                "fractions": len({(case.patient, case.fraction) for case in cases}),
                "source": ", ".join(sorted({case.source.applicator or "" for case in cases} - {""})) or "–",
            }
        )
    return pd.DataFrame(rows, columns=["applicator", "patients", "fractions", "source"])


def cohort_pictures(groups: Mapping[str, Cohort], names: StructureNames | None = None) -> tuple[Picture, ...]:
    """Plot patients and cases of each group, spacing of each scan, and volume of each structure in each case.

    Args:
        groups: groups of cases, by the name that the report gives them.
        names: names of the structures; None: the built-in table.
    """
    names = names or StructureNames.load()
    pictures = []
    for draw, description in _panels(groups):
        figure = Figure(figsize=_PANEL_INCHES, layout="constrained")
        draw(figure, groups, names)
        pictures.append(render_picture(figure, description, csv=_data_of(draw, groups).to_csv(index=False)))
    return tuple(pictures)


def _data_of(draw: "_Draw", groups: Mapping[str, Cohort]) -> pd.DataFrame:
    """Return the data of a panel: one row per dot or bar."""
    rows: list[tuple[object, ...]]
    if draw is _draw_counts:
        rows = [(name, len(cohort.patients), len(cohort.cases)) for name, cohort in groups.items()]
        return pd.DataFrame(rows, columns=["group", "patients", "cases"])
    cases = [(name, case) for name, cohort in groups.items() for case in cohort.cases]
    if draw is _draw_spacings:
        rows = [
            (name, case.patient, case.id, case.geometry.spacing[0], case.geometry.spacing[2]) for name, case in cases
        ]
        return pd.DataFrame(rows, columns=["group", "patient", "case", "slice_spacing_mm", "in_plane_spacing_mm"])
    rows = [
        (name, case.patient, case.id, structure, round(volume, 3))
        for name, case in cases
        if name in _contoured(groups)
        for structure, volume in case.volumes_cm3.items()
        if volume > 0
    ]
    return pd.DataFrame(rows, columns=["group", "patient", "case", "structure", "volume_cm3"])


def cohort_figure(groups: Mapping[str, Cohort], names: StructureNames | None = None) -> Figure:
    """Plot the panels of :func:`cohort_pictures` and the fractions of each patient in one figure.

    It shows what the paper's figure 3 shows of its data.

    Args:
        groups: groups of cases, by the name that the report gives them.
        names: names of the structures; None: the built-in table.
    """
    names = names or StructureNames.load()
    panels = [draw for draw, _ in _panels(groups)] + [_draw_fractions]
    columns = 2
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(columns * 5.2, rows * 4.0), layout="constrained")
    parts = figure.subfigures(rows, columns, squeeze=False).ravel()
    for draw, part in zip(panels, parts, strict=False):
        draw(part, groups, names)
    if any(cohort.synthetic for cohort in groups.values()):
        figure.suptitle("synthetic data", fontsize=10, color="0.4", ha="right", x=0.99)
    return figure


_PANEL_INCHES = (3.6, 2.9)
_Draw = Callable[[FigureBase, Mapping[str, Cohort], StructureNames], None]


def _panels(groups: Mapping[str, Cohort]) -> list[tuple[_Draw, str]]:
    panels: list[tuple[_Draw, str]] = [
        (_draw_counts, "Number of patients and cases in each group"),
        (_draw_spacings, "Slice spacing and in-plane spacing of each scan"),
    ]
    if _contoured(groups):
        panels.append((_draw_volumes, "Volume of each structure in each case"))
    return panels


def _contoured(groups: Mapping[str, Cohort]) -> dict[str, Cohort]:
    return {
        name: cohort
        for name, cohort in groups.items()
        if 0 < len(cohort.structures) <= MOST_STRUCTURES
        and any(volume > 0 for case in cohort.cases for volume in case.volumes_cm3.values())
    }


def _colours(groups: Mapping[str, Cohort]) -> dict[str, str]:
    return {name: f"C{number % 10}" for number, name in enumerate(groups)}


def _row(name: str, cohort: Cohort, names: StructureNames) -> dict[str, object]:
    spacings, shapes = _spacings(cohort), np.array([case.geometry.shape for case in cohort.cases]).reshape(-1, 3)
    many, structures = len(cohort.structures) > MOST_STRUCTURES, map(names.display_name, cohort.structures)
    return {
        "group": name,
        "structures": f"{len(cohort.structures)} classes" if many else ", ".join(structures) or "none",
        "patients": len(cohort.patients),
        "fractions per patient": _range(
            np.array([len(fractions) for fractions in cohort.fractions.values()]), "{:.0f}"
        ),
        "cases": len(cohort.cases),
        "slices": _range(shapes[:, 0], "{:.0f}"),
        "slice spacing (mm)": _range(spacings[:, 0], "{:.2f}"),
        "in-plane spacing (mm)": _range(spacings[:, 1:], "{:.2f}"),
    }


def _spacings(cohort: Cohort) -> npt.NDArray[np.float64]:
    return np.array([case.geometry.spacing for case in cohort.cases]).reshape(-1, 3)


def _range(values: npt.NDArray[np.number], form: str) -> str:
    """Return median (smallest–largest), or the value if all are equal."""
    if not values.size:
        return "–"
    middle, low, high = (form.format(value) for value in (np.median(values), values.min(), values.max()))
    return middle if low == high else f"{middle} ({low}–{high})"


def _panel(figure: FigureBase, title: str) -> Axes:
    axes: Axes = figure.subplots()
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _legend(figure: FigureBase, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)


def _draw_counts(figure: FigureBase, groups: Mapping[str, Cohort], _: StructureNames) -> None:
    axes, colours = _panel(figure, "patients and cases"), _colours(groups)
    positions = np.arange(len(groups))
    patients = [len(cohort.patients) for cohort in groups.values()]
    cases = [len(cohort.cases) for cohort in groups.values()]
    for label, counts, offset, alpha in (("patients", patients, -0.2, 1.0), ("cases", cases, 0.2, 0.5)):
        bars = axes.barh(positions + offset, counts, 0.38, color=[colours[name] for name in groups], alpha=alpha)
        axes.bar_label(
            bars, labels=[f"{count} {label[:-1] if count == 1 else label}" for count in counts], padding=3, fontsize=8
        )
    axes.set_yticks(positions, list(groups), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.4 * max(1, *cases))


def _draw_spacings(figure: FigureBase, groups: Mapping[str, Cohort], _: StructureNames) -> None:
    axes, colours = _panel(figure, "voxel spacing of each scan"), _colours(groups)
    for name, cohort in groups.items():
        spacings = _spacings(cohort)
        axes.scatter(spacings[:, 2], spacings[:, 0], color=colours[name], alpha=0.6, label=name, edgecolors="none")
    axes.set(xlabel="in-plane spacing (mm)", ylabel="slice spacing (mm)")
    largest = np.concatenate([np.ones((1, 3)), *(_spacings(cohort) for cohort in groups.values())]).max(axis=0)
    axes.set_xlim(0, 1.15 * largest[2])
    axes.set_ylim(0, 1.15 * largest[0])
    _legend(figure, axes)


def _draw_volumes(figure: FigureBase, groups: Mapping[str, Cohort], names: StructureNames) -> None:
    """Draw one dot per case, and a ring around outliers."""
    axes, colours = _panel(figure, "volume of each structure in each case"), _colours(groups)
    contoured = _contoured(groups)
    structures = list(dict.fromkeys(structure for cohort in contoured.values() for structure in cohort.structures))
    random = np.random.default_rng(0)
    ringed: list[tuple[float, float]] = []
    for number, (name, cohort) in enumerate(contoured.items(), start=1):
        offset = number / (len(contoured) + 1) - 0.5
        outliers = {(outlier.case_id, outlier.structure) for outlier in find_outliers(cohort)}
        dots = []
        for case in cohort.cases:
            for structure, volume in case.volumes_cm3.items():
                if volume > 0:
                    dots.append((structures.index(structure) + offset + random.uniform(-0.06, 0.06), volume))
                    if (case.id, structure) in outliers:
                        ringed.append(dots[-1])
        across, up = zip(*dots, strict=True) if dots else ((), ())
        axes.scatter(across, up, s=14, color=colours[name], alpha=0.6, edgecolors="none", label=name)
    if ringed:
        across, up = zip(*ringed, strict=True)
        axes.scatter(across, up, s=60, facecolors="none", edgecolors="0.2", linewidths=0.8, label="outlier")
    axes.set_xticks(
        range(len(structures)), [names.display_name(structure) for structure in structures], fontsize=8, rotation=20
    )
    axes.set_xlim(-0.6, len(structures) - 0.4)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("cm³")
    _legend(figure, axes)


def _draw_fractions(figure: FigureBase, groups: Mapping[str, Cohort], _: StructureNames) -> None:
    """Draw the number of patients by number of fractions, stacked by applicator if any is known."""
    axes = _panel(figure, "fractions of each patient")
    patients = {
        (name, patient): (len(fractions), cohort.applicators.get(patient, "unknown applicator"))
        for name, cohort in groups.items()
        for patient, fractions in cohort.fractions.items()
    }
    kinds = sorted({kind for _, kind in patients.values()}, key=lambda kind: (kind == "unknown applicator", kind))
    most = max((fractions for fractions, _ in patients.values()), default=1)
    bottom = np.zeros(most)
    for number, kind in enumerate(kinds):
        counts = Counter(fractions for fractions, applicator in patients.values() if applicator == kind)
        heights = np.array([counts[fractions] for fractions in range(1, most + 1)], float)
        colour = "0.75" if kind == "unknown applicator" else colormaps["Dark2"](number % 8)
        axes.bar(np.arange(1, most + 1), heights, 0.7, bottom=bottom, color=colour, label=kind)
        bottom += heights
    axes.set(xlabel="fractions", ylabel="patients")
    axes.set_xticks(range(1, most + 1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.4, max(most, 5) + 0.6)
    if kinds != ["unknown applicator"]:
        _legend(figure, axes)
