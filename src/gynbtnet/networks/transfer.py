"""Weights from one stage to the next, with a report of what came over and what didn't."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gynbtnet.errors import BadInput

Parts = Literal["encoder", "all_but_heads"]


@dataclass(frozen=True)
class PartNames:
    """How the names of a network's parts begin in its ``state_dict``; here GynBTNet's.

    A network with other names says so in an attribute ``part_names``.

    Attributes:
        encoder: what a pretraining leaves behind.
        heads: what depends on the classes.
        sees_image: convolutions that depend on the image's number of channels.
    """

    encoder: str = "encoder."
    heads: str = "decoder.heads."
    sees_image: tuple[str, ...] = ("encoder.levels.0.0.",)

    def belongs(self, name: str, parts: Parts) -> bool:
        """Whether a weight is one of ``parts``."""
        return name.startswith(self.encoder) if parts == "encoder" else not name.startswith(self.heads)


@dataclass(frozen=True)
class TransferReport:
    """What a transfer did.

    Attributes:
        parts: what was asked for.
        loaded: names taken over as they are.
        reshaped: names taken over into another shape, with how.
        skipped: names left alone, with why: of the weights, of the network, or of both.
        share: parameters taken over, reshaped ones included, of all that the network has in ``parts``.
    """

    parts: Parts
    loaded: tuple[str, ...]
    reshaped: dict[str, str]
    skipped: dict[str, str]
    share: float

    def to_json(self) -> dict[str, Any]:
        """As plain values, for ``transfer.json``."""
        return {
            "parts": self.parts,
            "share": self.share,
            "loaded": list(self.loaded),
            "reshaped": self.reshaped,
            "skipped": self.skipped,
        }


def transfer(
    weights: Mapping[str, Tensor], network: nn.Module, *, parts: Parts, at_least: float = 0.95
) -> TransferReport:
    """Copy ``weights`` of the previous stage into ``network``, name by name.

    Stage 1 → 2 takes the ``encoder``; stage 2 → 3 takes ``all_but_heads``. A first layer for another
    number of input channels gets the sum over the old channels, shared evenly, so that an image repeated in every
    channel gives what it gave before. Nothing is copied where the share falls short.

    Args:
        weights: a ``state_dict`` of an earlier stage.
        network: a ``GynBTNet``, or any network with its names or with ``part_names`` of its own.
        parts: which parts to take over.
        at_least: share of the parameters in ``parts`` below which the weights are refused.

    Raises:
        BadInput: where less than ``at_least`` came over.
    """
    own = network.state_dict()
    part_names: PartNames = getattr(network, "part_names", PartNames())
    found: dict[str, Tensor] = {}
    loaded: list[str] = []
    reshaped: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name in sorted(own.keys() | weights.keys()):
        ours, theirs = own.get(name), weights.get(name)
        if not part_names.belongs(name, parts):
            skipped[name] = "not asked for"
        elif ours is None:
            skipped[name] = "not in this network"
        elif theirs is None:
            skipped[name] = "not in the weights"
        elif theirs.shape == ours.shape:
            found[name] = theirs
            loaded.append(name)
        elif name.startswith(part_names.sees_image) and _differ_in_inputs(theirs, ours):
            found[name] = _with_input_channels(theirs, ours.shape[1])
            reshaped[name] = f"{theirs.shape[1]} input channels shared among {ours.shape[1]}"
        else:
            skipped[name] = f"shape {tuple(theirs.shape)} where the network has {tuple(ours.shape)}"

    sizes = {name: values.numel() for name, values in network.named_parameters() if part_names.belongs(name, parts)}
    share = sum(sizes.get(name, 0) for name in found) / max(sum(sizes.values()), 1)
    if share < at_least:
        raise BadInput(
            f"The weights cover {100 * share:.1f} % of this network's {parts.replace('_', ' ')}, expected at least "
            f"{100 * at_least:.1f} %; were they trained with another preset, or is this another network's file?"
        )
    with torch.no_grad():
        for name, values in found.items():
            own[name].copy_(values)
    return TransferReport(parts, tuple(loaded), reshaped, skipped, share)


def _differ_in_inputs(theirs: Tensor, ours: Tensor) -> bool:
    """Whether these are weights of one convolution, trained with different numbers of input channels."""
    return theirs.ndim == ours.ndim == 5 and theirs.shape[0] == ours.shape[0] and theirs.shape[2:] == ours.shape[2:]


def _with_input_channels(weight: Tensor, channels: int) -> Tensor:
    shared = weight.sum(dim=1, keepdim=True) / channels
    return shared.expand(-1, channels, -1, -1, -1)
