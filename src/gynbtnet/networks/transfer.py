"""Weights from one stage to the next, with a report of what came over and what didn't."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gynbtnet.runtime.errors import BadInput

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
    sees_image: tuple[str, ...] = ("encoder.levels.0.0.conv1.", "encoder.levels.0.0.shortcut.")

    def belongs(self, name: str, parts: Parts) -> bool:
        """Whether a weight is one of ``parts``."""
        return name.startswith(self.encoder) if parts == "encoder" else not name.startswith(self.heads)


@dataclass(frozen=True)
class TransferReport:
    """What a transfer did.

    Attributes:
        parts: what was asked for.
        loaded: names taken over as they are.
        reshaped: names taken over for other input channels, with how.
        skipped: names left alone, with why: of the weights, of the network, or of both.
        share: parameters taken over, reshaped ones included, of all that the network has in ``parts``.
        channels: what became of each input channel's filters, one sentence per channel. Empty if nothing in the
            weights sees the image, and in reports of earlier versions.
    """

    parts: Parts
    loaded: tuple[str, ...]
    reshaped: dict[str, str]
    skipped: dict[str, str]
    share: float
    channels: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values, for ``transfer.json``."""
        return {
            "parts": self.parts,
            "share": self.share,
            "channels": list(self.channels),
            "loaded": list(self.loaded),
            "reshaped": self.reshaped,
            "skipped": self.skipped,
        }


def transfer_weights(
    weights: Mapping[str, Tensor],
    network: nn.Module,
    *,
    parts: Parts,
    at_least: float = 0.95,
    channels: Sequence[str] | None = None,
    source_channels: Sequence[str] | None = None,
) -> TransferReport:
    """Copy ``weights`` of the previous stage into ``network``, name by name.

    Stage 1 → 2 takes the ``encoder``; stage 2 → 3 takes ``all_but_heads``. Input channels are matched by name, in
    upper or lower case and in any order. A known channel keeps its filters. A new one starts with filters of zero, so
    that the features are those of the known channels. A name that occurs several times shares the sum of its filters
    evenly, so that a repeated image gives the same features. Nothing is copied if the share falls short.

    Args:
        weights: a ``state_dict`` of an earlier stage.
        network: a ``GynBTNet``, or any network with its names or with ``part_names`` of its own.
        parts: which parts to take over.
        at_least: share of the parameters in ``parts`` below which the weights are refused.
        channels: names of the network's input channels. None: a single one is CT, several are matched by position.
        source_channels: names of the input channels of ``weights``; None as for ``channels``.

    Raises:
        BadInput: If less than ``at_least`` came over, or no channel of the network is known by name. A single channel
            takes over the filters of a single channel of another name, and the report says so.
    """
    own = network.state_dict()
    part_names: PartNames = getattr(network, "part_names", PartNames())
    inputs = _matched_inputs(weights, own, part_names, source_channels, channels)
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
        elif inputs and _sees_image(name, part_names, theirs) and inputs.fits(theirs, ours):
            found[name] = inputs.applied(theirs)
            if inputs.changes:
                reshaped[name] = f"{theirs.shape[1]} input channels matched by name to {ours.shape[1]}"
            else:
                loaded.append(name)
        elif theirs.shape == ours.shape:
            found[name] = theirs
            loaded.append(name)
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
    return TransferReport(parts, tuple(loaded), reshaped, skipped, share, inputs.sentences if inputs else ())


@dataclass(frozen=True)
class _Inputs:
    """Which filters of the weights each input channel of the network takes over.

    Attributes:
        before: number of input channels of the weights.
        sources: for each channel of the network, those of the weights whose filters are added; none for a new one.
        shared: for each channel of the network, by how many the sum is divided.
        sentences: what became of each channel.
    """

    before: int
    sources: tuple[tuple[int, ...], ...]
    shared: tuple[int, ...]
    sentences: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether any filter changes or moves."""
        return self.sources != tuple((i,) for i in range(self.before)) or set(self.shared) != {1}

    def fits(self, theirs: Tensor, ours: Tensor) -> bool:
        """Whether both are filters of one convolution, for these numbers of input channels."""
        return (theirs.shape[1], ours.shape[1]) == (self.before, len(self.sources)) and (
            theirs.shape[0] == ours.shape[0] and theirs.shape[2:] == ours.shape[2:]
        )

    def applied(self, filters: Tensor) -> Tensor:
        """Filters (features, channels of the weights, …) → (features, channels of the network, …)."""
        if not self.changes:
            return filters
        found = zip(self.sources, self.shared, strict=True)
        return torch.stack([filters[:, list(sources)].sum(1) / shared for sources, shared in found], dim=1)


def _sees_image(name: str, part_names: PartNames, values: Tensor) -> bool:
    return name.startswith(part_names.sees_image) and values.ndim == 5


def _matched_inputs(
    weights: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    part_names: PartNames,
    source_channels: Sequence[str] | None,
    channels: Sequence[str] | None,
) -> _Inputs | None:
    """The input channels of both, matched; None if no weight of one of them sees the image."""
    before, after = (
        next((values.shape[1] for name, values in found.items() if _sees_image(name, part_names, values)), None)
        for found in (weights, own)
    )
    if before is None or after is None:
        return None
    return _matched(_named(source_channels, before), _named(channels, after))


def _named(channels: Sequence[str] | None, number: int) -> tuple[str, ...]:
    if channels is not None and len(channels) == number:
        return tuple(channels)
    return ("CT",) if number == 1 else tuple(f"channel {i}" for i in range(number))


def _matched(theirs: Sequence[str], ours: Sequence[str]) -> _Inputs:
    before, after = _positions(theirs), _positions(ours)
    if not before.keys() & after.keys():
        return _unmatched(theirs, ours)
    sources: list[tuple[int, ...]] = []
    shared: list[int] = []
    sentences: list[str] = []
    for i, name in enumerate(ours):
        known, same = before.get(_key(name), []), after[_key(name)]
        if len(known) == len(same):  # in their order
            known, same = [known[same.index(i)]], [i]
        sources.append(tuple(known))
        shared.append(len(same) if known else 1)
        sentences.append(f"{name}: {_fate(known, same)}")
    sentences += [f"{name}: left out, this network has no such channel" for name in theirs if _key(name) not in after]
    return _Inputs(len(theirs), tuple(sources), tuple(shared), tuple(sentences))


def _fate(known: Sequence[int], same: Sequence[int]) -> str:
    if not known:
        return "new, its filters start at zero"
    if len(known) == len(same) == 1:
        return "filters taken over"
    return f"the sum of the filters of {len(known)} channels of this name, shared among {len(same)}"


def _unmatched(theirs: Sequence[str], ours: Sequence[str]) -> _Inputs:
    """Channels without a common name: a single one takes over from a single one, unnamed ones by position."""
    by_position = len(theirs) == len(ours) and (len(ours) == 1 or theirs == _named(None, len(theirs)))
    if not by_position:
        raise BadInput(
            f"The weights were trained on the channels {', '.join(theirs)}, and this network reads {', '.join(ours)}: "
            "no name is in both. Start from a model that knows one of these channels, give the channels the names "
            "that the model has, or train from scratch."
        )
    pairs = zip(ours, theirs, strict=True)
    sentences = tuple(f"{name}: filters of {other} taken over, though its name is another" for name, other in pairs)
    return _Inputs(len(theirs), tuple((i,) for i in range(len(ours))), (1,) * len(ours), sentences)


def _positions(names: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        found[_key(name)].append(i)
    return dict(found)


def _key(name: str) -> str:
    return name.strip().casefold()
