"""Channels and structures as nnU-Net's JSON files name them."""

from collections.abc import Mapping
from typing import Any


def nnunet_channel_names(channels: tuple[str, ...]) -> dict[str, str]:
    """``channel_names``: ``{"0": "CT", …}``."""
    return {str(i): channel for i, channel in enumerate(channels)}


def parse_channel_names(names: Mapping[str, Any]) -> tuple[str, ...]:
    """The inverse of :func:`nnunet_channel_names`; KeyError where they aren't numbered from 0."""
    return tuple(str(names[str(i)]) for i in range(len(names)))


def parse_labels(labels: Mapping[str, Any]) -> tuple[str, ...]:
    """The inverse of :func:`gynbtnet.imaging.files.label_names.labels_by_name`.

    Raises:
        ValueError: where a label isn't one number, or they don't go one by one from the background's 0.
    """
    if not all(isinstance(label, int) for label in labels.values()):
        raise ValueError("labels that are regions, several numbers each, where one number each is expected")
    if "ignore" in labels:
        raise ValueError("an ignore label, where every voxel is expected to be contoured")
    numbered = sorted((label, name) for name, label in labels.items())
    if [label for label, _ in numbered] != list(range(len(numbered))) or numbered[0][1] != "background":
        raise ValueError(f"labels are numbered {[label for label, _ in numbered]}, not one by one from background 0")
    return tuple(name for _, name in numbered[1:])
