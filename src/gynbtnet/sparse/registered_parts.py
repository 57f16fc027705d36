"""Masks, targets and decoders of masked pretraining by name; a researcher's own ones are registered here.

A recipe, or ``PretrainingSettings`` in Python, selects one of each by its name. Register before the settings are made,
in every process that trains.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from gynbtnet.runtime.array_types import Triple

MaskRule = Callable[[Triple, float, torch.Generator], Tensor]
"""Function from cells (z, y, x), mask ratio and generator to a boolean mask (z, y, x), true for visible cells."""
DecoderMaker = Callable[[Sequence[int], int], nn.Module]
"""Function from the channels of each level, fine to coarse, and the number of outputs to a decoder.

The decoder computes (B, outputs, D, H, W) from one dense map per level, fine to coarse, with these channels.
"""
Part = TypeVar("Part")


@dataclass(frozen=True)
class Target:
    """Target of the reconstruction.

    Attributes:
        make: function from the image (B, channels, D, H, W) to the target (B, outputs, D, H, W).
        outputs: channels of the target per channel of the image.
    """

    make: Callable[[Tensor], Tensor]
    outputs: int = 1


_MASKS: dict[str, MaskRule] = {}
_TARGETS: dict[str, Target] = {}
_DECODERS: dict[str, DecoderMaker] = {}
RANDOM, IMAGE, BUILT_IN_DECODERS = "random", "image", ("light", "unet")
"""Names of the built-in mask and target, and of the built-in decoders."""


def register_mask(name: str, rule: MaskRule) -> None:
    """Register a rule that draws the mask of one patch; it replaces an earlier one of this name.

    Args:
        name: name in ``mask`` of the pretraining settings.
        rule: see :data:`MaskRule`; it uses only the given generator for random numbers.

    Raises:
        ValueError: If the name is that of the built-in mask.
    """
    _register(_MASKS, name, rule, (RANDOM,))


def register_target(name: str, make: Callable[[Tensor], Tensor], outputs: int = 1) -> None:
    """Register a target that the network reconstructs instead of the image; it replaces an earlier one of this name.

    Args:
        name: name in ``target`` of the pretraining settings.
        make: function from the image (B, channels, D, H, W) to the target (B, channels · outputs, D, H, W).
        outputs: channels of the target per channel of the image.

    Raises:
        ValueError: If the name is that of the built-in target.
    """
    _register(_TARGETS, name, Target(make, outputs), (IMAGE,))


def register_decoder(name: str, make: DecoderMaker) -> None:
    """Register a decoder of the pretraining; it replaces an earlier one of this name.

    Args:
        name: name in ``decoder`` of the pretraining settings.
        make: see :data:`DecoderMaker`.

    Raises:
        ValueError: If the name is that of a built-in decoder.
    """
    _register(_DECODERS, name, make, BUILT_IN_DECODERS)


def find_mask(name: str) -> MaskRule | None:
    """Return a registered mask; None: the built-in one.

    Raises:
        ValueError: If there is no mask of this name.
    """
    return _find(_MASKS, name, (RANDOM,), "mask", "register_mask")


def find_target(name: str) -> Target | None:
    """Return a registered target; None: the built-in one, the image.

    Raises:
        ValueError: If there is no target of this name.
    """
    return _find(_TARGETS, name, (IMAGE,), "target", "register_target")


def find_decoder(name: str) -> DecoderMaker | None:
    """Return a registered decoder; None: a built-in one.

    Raises:
        ValueError: If there is no decoder of this name.
    """
    return _find(_DECODERS, name, BUILT_IN_DECODERS, "decoder", "register_decoder")


def _register(parts: dict[str, Part], name: str, part: Part, built_in: Sequence[str]) -> None:
    if name in built_in:
        raise ValueError(f"{name} is built in; give another name")
    parts[name] = part


def _find(parts: dict[str, Part], name: str, built_in: Sequence[str], kind: str, function: str) -> Part | None:
    if name in built_in:
        return None
    if name not in parts:
        known = ", ".join((*built_in, *parts))
        raise ValueError(f"there is no {kind} {name}, only {known}; register it with gynbtnet.sparse.{function}")
    return parts[name]
