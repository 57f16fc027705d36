"""GynBTNet: a residual U-Net with STU-Net's design.

An encoder of residual blocks halves the grid from level to level. A decoder goes back up. Each of its levels reads the
upsampled map of the level below, and the skip, which is the encoder's map of the same size.

    image → Encoder → features of every level → Decoder → logits of every level
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from gynbtnet.networks.blocks import NormKind, make_level, upsample
from gynbtnet.networks.presets import Preset, find_preset
from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import by_axis

Strides = Sequence[int | Sequence[int]]
"""One stride per level, fine to coarse: a number for all axes, or (z, y, x)."""


class Encoder(nn.Module):
    """Downsampling half of the network, which computes one feature map per level.

    Args:
        preset: Channels and depth of the levels.
        in_channels: Channels of the image, 1 for CT.
        strides: One stride per level. None: the preset's strides.
        norm: Kind of all norms.

    Attributes:
        channels: Channels of each level, fine to coarse.
        strides: Stride (z, y, x) of each level's first block.
        total_stride: Input voxels along (z, y, x) per voxel of the deepest level.

    Raises:
        ValueError: If the number of strides is not the number of levels, or a stride is neither 1 nor 2.
    """

    def __init__(
        self, preset: Preset, in_channels: int = 1, strides: Strides | None = None, norm: NormKind = "instance"
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.channels = preset.channels
        self.strides = _as_triples(preset.strides if strides is None else strides)
        if len(self.strides) != len(self.channels):
            raise ValueError(f"{len(self.channels)} levels need {len(self.channels)} strides, not {len(self.strides)}")
        self.total_stride: Triple = tuple(prod(axis) for axis in zip(*self.strides, strict=True))
        self.levels = nn.ModuleList(
            make_level(inputs, channels, preset.depth, stride, norm)
            for (inputs, channels), stride in zip(pairwise((in_channels, *self.channels)), self.strides, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the features of every level.

        Args:
            image: (B, in_channels, D, H, W).

        Returns:
            One map (B, channels, D', H', W') per level, fine to coarse.

        Raises:
            BadInput: If the image's size is not a multiple of the total stride.
        """
        self.deepest_grid(image.shape[2:])
        features = []
        x = image
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features

    def deepest_grid(self, shape: Sequence[int]) -> Triple:
        """Return the grid (z, y, x) of the deepest level for a patch of ``shape`` (z, y, x) voxels.

        Raises:
            BadInput: If the patch is not a multiple of the total stride, or only one voxel would be left.
        """
        if len(shape) != 3 or any(n < 1 or n % s for n, s in zip(shape, self.total_stride, strict=True)):
            raise BadInput(
                f"A patch of {by_axis(shape)} voxels is not divisible by this network's total stride of "
                f"{by_axis(self.total_stride)}; choose a patch size in multiples of it."
            )
        if tuple(shape) == self.total_stride:
            raise BadInput(
                f"A patch of {by_axis(shape)} voxels leaves a single voxel at this network's deepest level, too few to "
                f"normalise over; choose a larger multiple of {by_axis(self.total_stride)}."
            )
        return tuple(n // s for n, s in zip(shape, self.total_stride, strict=True))  # type: ignore[return-value]


class Decoder(nn.Module):
    """Upsampling half of the network, with a segmentation head at every level.

    Each level projects the map below to its own channels, upsamples it, concatenates the skip behind it, and refines
    the result with residual blocks. STU-Net upsamples first and then projects: the same result at eight times the cost.

    Args:
        preset: Channels and depth of the levels.
        outputs: Classes, background included.
    """

    def __init__(self, preset: Preset, outputs: int) -> None:
        super().__init__()
        pairs = list(pairwise(reversed(preset.channels)))  # (channels below, channels), coarse to fine
        self.projections = nn.ModuleList(nn.Conv3d(below, channels, 1) for below, channels in pairs)
        self.levels = nn.ModuleList(make_level(2 * channels, channels, preset.depth) for _, channels in pairs)
        self.heads = nn.ModuleList(nn.Conv3d(channels, outputs, 1) for _, channels in pairs)

    def forward(self, features: Sequence[Tensor], deep_supervision: bool) -> list[Tensor]:
        """Compute logits from the encoder's features.

        Args:
            features: One map per encoder level, fine to coarse.
            deep_supervision: If true, the logits of every level are computed, otherwise only those of the finest.

        Returns:
            Logits (B, outputs, D', H', W'), finest level first.
        """
        *skips, x = features
        logits = []
        for projection, level, head, skip in zip(self.projections, self.levels, self.heads, skips[::-1], strict=True):
            x = level(torch.cat((upsample(projection(x), skip.shape[2:]), skip), dim=1))
            if deep_supervision or head is self.heads[-1]:
                logits.append(head(x))
        return logits[::-1]


class GynBTNet(nn.Module):
    """Segmentation network of stages 2 and 3.

    Args:
        preset: A name in ``PRESETS``, or a preset.
        in_channels: Channels of the image, 1 for CT.
        outputs: Classes, background included.
        strides: One stride per level, a number or (z, y, x). None: the preset's strides.
        deep_supervision: If true, ``forward`` returns the logits of every decoder level. This is also an attribute,
            which can be switched off for prediction; the heads, and therefore the weights, stay the same.

    Raises:
        BadInput: If no preset has the given name.
        ValueError: If the number of strides is not the number of levels, or a stride is neither 1 nor 2.
    """

    def __init__(
        self,
        preset: str | Preset = "L",
        in_channels: int = 1,
        *,
        outputs: int,
        strides: Strides | None = None,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__()
        size = find_preset(preset)
        self.deep_supervision = deep_supervision
        self.encoder = Encoder(size, in_channels, strides)
        self.decoder = Decoder(size, outputs)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Compute the logits of an image.

        Args:
            image: (B, in_channels, D, H, W).

        Returns:
            With deep supervision a list of (B, outputs, D', H', W'), one per decoder level, finest first. Otherwise
            only the finest, (B, outputs, D, H, W).

        Raises:
            BadInput: If the image's size is not a multiple of the encoder's total stride.
        """
        logits: list[Tensor] = self.decoder(self.encoder(image), self.deep_supervision)
        return logits if self.deep_supervision else logits[0]


def _as_triples(strides: Strides) -> tuple[Triple, ...]:
    """Return the strides of all levels as (z, y, x); a single number applies to all three axes."""
    triples = tuple((s,) * 3 if isinstance(s, int) else tuple(int(n) for n in s) for s in strides)
    if any(len(triple) != 3 or not set(triple) <= {1, 2} for triple in triples):
        raise ValueError(f"a stride is 1 or 2, or three such numbers (z, y, x), not {list(strides)}")
    return triples  # type: ignore[return-value]
