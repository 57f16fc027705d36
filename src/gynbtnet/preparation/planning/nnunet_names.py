"""Channels and structures in the format of nnU-Net's JSON files."""

from collections.abc import Mapping, Sequence
from typing import Any

from gynbtnet.imaging.files.label_names import labels_by_name
from gynbtnet.imaging.label_map import painting_order
from gynbtnet.imaging.regions import Regions, regions_by_name


def nnunet_channel_names(channels: tuple[str, ...]) -> dict[str, str]:
    """Return ``channel_names``: ``{"0": "CT", …}``."""
    return {str(i): channel for i, channel in enumerate(channels)}


def parse_channel_names(names: Mapping[str, Any]) -> tuple[str, ...]:
    """Invert :func:`nnunet_channel_names`.

    Raises:
        KeyError: If the channels aren't numbered from 0.
    """
    return tuple(str(names[str(i)]) for i in range(len(names)))


def nnunet_labels(structures: Sequence[str], regions: Regions | None) -> dict[str, Any]:
    """Return ``labels`` of a ``dataset.json``, and for overlapping structures also ``regions_class_order``.

    nnU-Net learns each region by a sigmoid. When it writes a label map, it paints the regions one after another in the
    order of ``labels``. The n-th region gets the n-th number of ``regions_class_order``. We name targets last, so that
    they are on top. Each has the number that the structure has without overlaps. nnU-Net's outputs have the order of
    ``labels``, see :func:`nnunet_outputs`.

    nnU-Net takes labels for regions only if one of them is a list of several numbers. If no combination occurs, one
    list therefore has its number twice.
    """
    if regions is None:
        return {"labels": labels_by_name(structures)}
    by_name, order = regions_by_name(regions), painting_order(structures)
    named: dict[str, Any] = {name: by_name[name] for name in ("background", *order)}
    if all(len(own) == 1 for own in regions.labels):
        named[order[0]] = 2 * named[order[0]]
    return {
        "labels": named,
        "regions_class_order": [list(structures).index(name) + 1 for name in order],
    }


def parse_structures(dataset: Mapping[str, Any]) -> tuple[tuple[str, ...], Regions | None]:
    """Return structures, and their regions if they overlap, from the content of a ``dataset.json``.

    The structures have the order of ``regions_class_order``.

    Raises:
        KeyError: If there are no labels, or no order of the regions.
        ValueError: If labels are not numbered consecutively, or regions have no meaning as structures.
    """
    labels = dataset["labels"]
    if not any(isinstance(label, list | tuple) for label in labels.values()):
        return parse_labels(labels), None
    if "ignore" in labels:
        raise ValueError("there is an ignore label; expected a label for every voxel")
    named = {str(name): label for name, label in labels.items() if name != "background"}
    order = dataset["regions_class_order"]
    if labels.get("background") != 0 or len(order) != len(named) or not all(type(label) is int for label in order):
        raise ValueError("regions_class_order must have a number for each region, and background is 0")
    ordered = [name for _, name in sorted(zip(order, named, strict=True), key=lambda pair: pair[0])]
    sets = [tuple(sorted(set(_numbers(named[name])))) for name in ordered]
    return tuple(ordered), Regions(tuple(ordered), tuple(sets))


def nnunet_outputs(dataset: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the structures of nnU-Net's outputs if it learns regions, in its order, from a ``dataset.json``."""
    return tuple(str(name) for name in dataset["labels"] if name not in ("background", "ignore"))


def _numbers(label: Any) -> list[int]:
    numbers = list(label) if isinstance(label, list | tuple) else [label]
    if not numbers or not all(type(number) is int for number in numbers):
        raise ValueError(f"a region is {label}, expected numbers of labels")
    return numbers


def parse_labels(labels: Mapping[str, Any]) -> tuple[str, ...]:
    """Invert :func:`gynbtnet.imaging.files.label_names.labels_by_name`.

    Raises:
        ValueError: If a label isn't a single number, or the labels aren't consecutive from background 0.
    """
    if not all(isinstance(label, int) for label in labels.values()):
        raise ValueError("some labels are regions of several numbers; expected one number per label")
    if "ignore" in labels:
        raise ValueError("there is an ignore label; expected a label for every voxel")
    numbered = sorted((label, name) for name, label in labels.items())
    if [label for label, _ in numbered] != list(range(len(numbered))) or numbered[0][1] != "background":
        raise ValueError(f"labels are numbered {[label for label, _ in numbered]}, not consecutively from background 0")
    return tuple(name for _, name in numbered[1:])
