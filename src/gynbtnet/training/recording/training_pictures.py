"""Pictures of a few patches and the network's output, one row per patch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.overlays import visible_colour
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.atomic_files import atomic_write

MOST_NAMED = 12
"""Number of structures in a legend."""
Plane = npt.NDArray[np.float32]

_GREY = colormaps["gray"].with_extremes(bad="steelblue")


def grey_rows(titles: Sequence[str], rows: Sequence[Sequence[Plane]]) -> Figure:
    """Plot one row per patch and one column per title; a row uses the grey-value range of its first plane.

    NaN is blue, a colour that no tissue has.

    Args:
        titles: column titles.
        rows: planes (y, x) of each patch, one per title.
    """
    figure = Figure(figsize=(2.6 * len(titles), 2.7 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for index, row in enumerate(rows):
        low, high = np.percentile(row[0], (1, 99))
        for column, plane in enumerate(row):
            axes[index, column].imshow(plane, cmap=_GREY, vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
    _finish(axes, titles)
    return figure


def contour_rows(
    planes: Sequence[Plane],
    truth: Sequence[Mapping[int, Mask]],
    predicted: Sequence[Mapping[int, Mask]],
    structures: Sequence[str],
) -> Figure:
    """Plot one row per patch: the scan, the reference over it, and the prediction over it.

    Structures have the colours of all other pictures, with a legend. Colours of overlapping ones are mixed.

    Args:
        planes: grey values (y, x) of each patch.
        truth: masks (y, x) of each patch, by number of the structure, from 1.
        predicted: predicted masks (y, x) of each patch, as ``truth``.
        structures: names of the structures, in the order of their numbers.
    """
    titles, names = ("scan", "reference", "prediction"), StructureNames.load()
    colours = [visible_colour(structure, names) for structure in structures]
    figure = Figure(figsize=(2.6 * 3, 2.7 * len(planes) + 0.3), layout="constrained")
    axes = figure.subplots(len(planes), 3, squeeze=False)
    for index, (plane, *columns) in enumerate(zip(planes, truth, predicted, strict=True)):
        low, high = np.percentile(plane, (1, 99))
        for column in range(3):
            axes[index, column].imshow(
                plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="bilinear"
            )
        for column, masks in enumerate(columns, start=1):
            for number, mask in sorted(masks.items()):
                axes[index, column].imshow(
                    np.ma.masked_equal(mask.astype(int), 0),
                    cmap=ListedColormap([colours[number - 1]]),
                    alpha=0.55,
                    interpolation="nearest",
                )
    _finish(axes, titles)
    handles = [
        Patch(color=colour, label=names.display_name(structure))
        for structure, colour in zip(structures[:MOST_NAMED], colours, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=80)


def _finish(axes: npt.NDArray[Any], titles: Sequence[str]) -> None:
    for column, title in enumerate(titles):
        axes[0, column].set_title(title, fontsize=10)
    for axis in axes.flat:
        axis.set_axis_off()
