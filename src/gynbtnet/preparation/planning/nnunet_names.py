"""Channels and structures in the format of nnU-Net's JSON files."""

from collections.abc import Mapping
from typing import Any


def nnunet_channel_names(channels: tuple[str, ...]) -> dict[str, str]:
    """Return ``channel_names``: ``{"0": "CT", …}``."""
    return {str(i): channel for i, channel in enumerate(channels)}


def parse_channel_names(names: Mapping[str, Any]) -> tuple[str, ...]:
    """Invert :func:`nnunet_channel_names`.

    Raises:
        KeyError: If the channels aren't numbered from 0.
    """
    return tuple(str(names[str(i)]) for i in range(len(names)))


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
