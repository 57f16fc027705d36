"""Transfer of weights from one stage to the next, with a report."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

Parts = Literal["encoder", "all_but_heads", "all"]


@dataclass(frozen=True)
class PartNames:
    """Prefixes of the parameter names of a network's parts; the defaults are GynBTNet's.

    A network with other names has them in an attribute ``part_names``.

    Attributes:
        encoder: Prefix of the encoder, which pretraining trains.
        heads: Prefix of the segmentation heads, which depend on the classes.
        input_convolutions: Prefixes of the convolutions that read the image and depend on its number of channels.
    """

    encoder: str = "encoder."
    heads: str = "decoder.heads."
    input_convolutions: tuple[str, ...] = ("encoder.levels.0.0.conv1.", "encoder.levels.0.0.shortcut.")

    def belongs(self, name: str, parts: Parts) -> bool:
        """Return whether a parameter belongs to ``parts``."""
        if parts == "encoder":
            return name.startswith(self.encoder)
        return parts == "all" or not name.startswith(self.heads)


@dataclass(frozen=True)
class TransferReport:
    """Report of a transfer.

    Attributes:
        parts: Parts that were to be transferred.
        loaded: Names of parameters that were copied unchanged.
        reshaped: Names of parameters that were copied for other input channels, with the change.
        skipped: Names of parameters of the weights, of the network or of both that were not copied, with the reason.
        share: Copied parameters, reshaped ones included, divided by all parameters of the network in ``parts``.
        channels: One sentence per input channel about its filters. Empty if none of the weights reads the image, and
            in reports of earlier versions.
    """

    parts: Parts
    loaded: tuple[str, ...]
    reshaped: dict[str, str]
    skipped: dict[str, str]
    share: float
    channels: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values, for ``transfer.json``."""
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
    min_share: float = 0.95,
    channels: Sequence[str] | None = None,
    source_channels: Sequence[str] | None = None,
) -> TransferReport:
    """Copy ``weights`` of the previous stage into ``network``, name by name.

    Stage 2 takes the ``encoder`` of stage 1; stage 3 takes ``all_but_heads`` of stage 2; a model that learns from
    corrections takes ``all`` of its predecessor. Input channels are matched by name, in upper or lower case and in any
    order:

    - A known channel keeps its filters.
    - A new channel starts with filters of zero, so that the features are those of the known channels.
    - Channels with the same name share the sum of its filters evenly, so that a repeated image gives the same features.
    - If both sides have a single channel, it keeps its filters even if the names differ, and the report notes it.

    Nothing is copied if the copied share would be less than ``min_share``.

    Args:
        weights: ``state_dict`` of an earlier stage.
        network: A ``GynBTNet``, or any network with its parameter names or with an attribute ``part_names``. Its
            parameters are overwritten.
        parts: Parts to copy.
        min_share: Smallest accepted share of the parameters in ``parts``.
        channels: Names of the network's input channels. None: a single one is CT, several are matched by position.
        source_channels: Names of the input channels of ``weights``; None as for ``channels``.

    Returns:
        A report of copied and skipped parameters.

    Raises:
        BadInput: If less than ``min_share`` would be copied, or no channel of the network is known by name.
    """
    own = network.state_dict()
    part_names: PartNames = getattr(network, "part_names", PartNames())
    inputs = _match_inputs(weights, own, part_names, source_channels, channels)
    copied: dict[str, Tensor] = {}
    loaded: list[str] = []
    reshaped: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name in sorted(own.keys() | weights.keys()):
        ours, theirs = own.get(name), weights.get(name)
        if not part_names.belongs(name, parts):
            skipped[name] = "not selected"
        elif ours is None:
            skipped[name] = "not in this network"
        elif theirs is None:
            skipped[name] = "not in the weights"
        elif inputs and _reads_image(name, part_names, theirs) and inputs.fits(theirs, ours):
            copied[name] = inputs.rearranged(theirs)
            if inputs.changes:
                reshaped[name] = f"{theirs.shape[1]} input channels matched by name to {ours.shape[1]}"
            else:
                loaded.append(name)
        elif theirs.shape == ours.shape:
            copied[name] = theirs
            loaded.append(name)
        else:
            skipped[name] = f"shape {tuple(theirs.shape)}, and the network has {tuple(ours.shape)}"

    sizes = {name: values.numel() for name, values in network.named_parameters() if part_names.belongs(name, parts)}
    share = sum(sizes.get(name, 0) for name in copied) / max(sum(sizes.values()), 1)
    if share < min_share:
        raise BadInput(
            f"The weights cover {100 * share:.1f} % of this network's {parts.replace('_', ' ')}, expected at least "
            f"{100 * min_share:.1f} %; were they trained with another preset, or is this another network's file?"
        )
    with torch.no_grad():
        for name, values in copied.items():
            own[name].copy_(values)
    return TransferReport(parts, tuple(loaded), reshaped, skipped, share, inputs.sentences if inputs else ())


@dataclass(frozen=True)
class _ChannelMatch:
    """Assignment of the weights' input channels to the network's.

    Attributes:
        before: Number of input channels of the weights.
        sources: Indices of the weights' channels whose filters are added, per channel of the network; none if new.
        shared: Number by which the sum is divided, per channel of the network.
        sentences: One sentence per channel, for the report.
    """

    before: int
    sources: tuple[tuple[int, ...], ...]
    shared: tuple[int, ...]
    sentences: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Return whether any filter changes its values or its channel."""
        return self.sources != tuple((i,) for i in range(self.before)) or set(self.shared) != {1}

    def fits(self, theirs: Tensor, ours: Tensor) -> bool:
        """Return whether both are filters of one convolution, for these numbers of input channels."""
        return (theirs.shape[1], ours.shape[1]) == (self.before, len(self.sources)) and (
            theirs.shape[0] == ours.shape[0] and theirs.shape[2:] == ours.shape[2:]
        )

    def rearranged(self, filters: Tensor) -> Tensor:
        """Return filters (features, channels of the network, …) made from (features, channels of the weights, …)."""
        if not self.changes:
            return filters
        channels = zip(self.sources, self.shared, strict=True)
        return torch.stack([filters[:, list(sources)].sum(1) / shared for sources, shared in channels], dim=1)


def _reads_image(name: str, part_names: PartNames, values: Tensor) -> bool:
    return name.startswith(part_names.input_convolutions) and values.ndim == 5


def _match_inputs(
    weights: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    part_names: PartNames,
    source_channels: Sequence[str] | None,
    channels: Sequence[str] | None,
) -> _ChannelMatch | None:
    """Match the input channels of both; None if one of them has no parameter that reads the image."""
    before, after = (
        next((values.shape[1] for name, values in parameters.items() if _reads_image(name, part_names, values)), None)
        for parameters in (weights, own)
    )
    if before is None or after is None:
        return None
    return _match_by_name(_channel_names(source_channels, before), _channel_names(channels, after))


def _channel_names(channels: Sequence[str] | None, number: int) -> tuple[str, ...]:
    if channels is not None and len(channels) == number:
        return tuple(channels)
    return ("CT",) if number == 1 else tuple(f"channel {i}" for i in range(number))


def _match_by_name(theirs: Sequence[str], ours: Sequence[str]) -> _ChannelMatch:
    before, after = _positions(theirs), _positions(ours)
    if not before.keys() & after.keys():
        return _match_without_names(theirs, ours)
    sources: list[tuple[int, ...]] = []
    shared: list[int] = []
    sentences: list[str] = []
    for i, name in enumerate(ours):
        known, same = before.get(_key(name), []), after[_key(name)]
        if len(known) == len(same):  # in their order
            known, same = [known[same.index(i)]], [i]
        sources.append(tuple(known))
        shared.append(len(same) if known else 1)
        sentences.append(f"{name}: {_describe_filters(known, same)}")
    sentences += [f"{name}: left out, this network has no such channel" for name in theirs if _key(name) not in after]
    return _ChannelMatch(len(theirs), tuple(sources), tuple(shared), tuple(sentences))


def _describe_filters(known: Sequence[int], same: Sequence[int]) -> str:
    if not known:
        return "new, its filters start at zero"
    if len(known) == len(same) == 1:
        return "filters taken over"
    return f"the sum of the filters of {counted(len(known), 'channel')} of this name, shared among {len(same)}"


def _match_without_names(theirs: Sequence[str], ours: Sequence[str]) -> _ChannelMatch:
    """Match channels that have no name in common: a single one to a single one, unnamed ones by position."""
    by_position = len(theirs) == len(ours) and (len(ours) == 1 or theirs == _channel_names(None, len(theirs)))
    if not by_position:
        raise BadInput(
            f"The weights were trained on the channels {', '.join(theirs)}, and this network reads {', '.join(ours)}: "
            "no name is in both. Start from a model with one of these channels, rename the channels to the model's, or "
            "train from scratch."
        )
    pairs = zip(ours, theirs, strict=True)
    sentences = tuple(f"{name}: filters of {other} taken over, although the names differ" for name, other in pairs)
    return _ChannelMatch(len(theirs), tuple((i,) for i in range(len(ours))), (1,) * len(ours), sentences)


def _positions(names: Sequence[str]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        positions[_key(name)].append(i)
    return dict(positions)


def _key(name: str) -> str:
    return name.strip().casefold()
