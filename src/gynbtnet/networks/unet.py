"""GynBTNet: a residual U-Net of STU-Net's design."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import cast

from torch import Tensor, nn

from gynbtnet.networks.blocks import NormKind, as_triples, make_level
from gynbtnet.networks.decoder_block import DecoderLevel
from gynbtnet.networks.inference_ops import convolve
from gynbtnet.networks.presets import PRESETS, Preset
from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import by_axis

Strides = Sequence[int | Sequence[int]]


class Encoder(nn.Module):
    """The descending half: one feature map a level.

    Attributes:
        channels: channels of each level, fine to coarse.
        strides: (z, y, x) stride of each level's first block.
        total_stride: input voxels along (z, y, x) under one voxel of the deepest level.

    Raises:
        ValueError: where there isn't one stride of 1 or 2 a level.
    """

    def __init__(
        self, preset: Preset, in_channels: int = 1, strides: Strides | None = None, norm: NormKind = "instance"
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.channels = preset.channels
        self.strides = as_triples(preset.strides if strides is None else strides)
        if len(self.strides) != len(self.channels):
            raise ValueError(f"{len(self.channels)} levels need as many strides, not {len(self.strides)}")
        self.total_stride: Triple = tuple(prod(axis) for axis in zip(*self.strides, strict=True))
        inputs = (in_channels, *self.channels)
        self.levels = nn.ModuleList(
            make_level(before, channels, preset.depth, stride, norm)
            for before, channels, stride in zip(inputs, self.channels, self.strides, strict=False)
        )

    def deepest_grid(self, shape: Sequence[int]) -> Triple:
        """Voxels along (z, y, x) at the deepest level for a patch of ``shape`` (z, y, x).

        Raises:
            BadInput: where the patch doesn't divide by the total stride, or only one voxel would be left.
        """
        if len(shape) != 3 or any(n < 1 or n % s for n, s in zip(shape, self.total_stride, strict=True)):
            raise BadInput(
                f"A patch of {by_axis(shape)} voxels doesn't divide by this network's total stride of "
                f"{by_axis(self.total_stride)}; choose a patch size in multiples of that."
            )
        if tuple(shape) == self.total_stride:
            raise BadInput(
                f"A patch of {by_axis(shape)} voxels leaves a single one at this network's deepest level, too few to "
                f"normalise over; choose a larger multiple of {by_axis(self.total_stride)}."
            )
        return tuple(n // s for n, s in zip(shape, self.total_stride, strict=True))  # type: ignore[return-value]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of every level, fine to coarse, of an image (B, in_channels, D, H, W).

        Raises:
            BadInput: where the image doesn't divide by the total stride.
        """
        self.deepest_grid(image.shape[2:])
        features = []
        for level in self.levels:
            image = level(image)
            features.append(image)
        return features


class Decoder(nn.Module):
    """The ascending half: project, upsample, merge with the skip, refine; a segmentation head on every level.

    The projection stands before the upsampling, where STU-Net has it behind: the same at an eighth of the cost.
    """

    def __init__(self, preset: Preset, outputs: int) -> None:
        super().__init__()
        pairs = list(pairwise(reversed(preset.channels)))
        self.projections = nn.ModuleList(nn.Conv3d(below, channels, 1) for below, channels in pairs)
        self.levels = nn.ModuleList(DecoderLevel(channels, preset.depth) for _, channels in pairs)
        self.heads = nn.ModuleList(nn.Conv3d(channels, outputs, 1) for _, channels in pairs)

    def forward(self, features: list[Tensor], every_level: bool) -> list[Tensor]:
        """Logits of every level, or of the finest alone, finest first, from ``features`` fine to coarse.

        The list is emptied on the way, so that what was used needs no memory.
        """
        logits: list[Tensor] = []
        x = features.pop()
        for projection, level, head in zip(self.projections, self.levels, self.heads, strict=True):
            x = level(projection(x), features.pop())
            if every_level or not features:
                logits.insert(0, convolve(cast("nn.Conv3d", head), x))
        return logits


class GynBTNet(nn.Module):
    """The segmentation network of stages 2 and 3.

    Args:
        preset: a name in ``PRESETS``, or a preset of your own.
        in_channels: channels of the image, 1 for CT.
        outputs: classes, background included.
        strides: one a level, a number or (z, y, x); the preset's where None.
        deep_supervision: whether ``forward`` answers with the logits of every decoder level. An attribute too, to be
            switched off for prediction; the heads, and so the weights, stay the same.

    Raises:
        ValueError: where there isn't one stride of 1 or 2 a level.
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
        """Logits of an image (B, in_channels, D, H, W).

        Returns:
            With deep supervision a list of (B, outputs, D', H', W'), finest first, one a decoder level; else the
            finest alone, (B, outputs, D, H, W).

        Raises:
            BadInput: where the image doesn't divide by the encoder's total stride.
        """
        logits = self.decoder(self.encoder(image), every_level=self.deep_supervision)
        return logits if self.deep_supervision else logits[0]  # type: ignore[no-any-return]


def find_preset(preset: str | Preset) -> Preset:
    """The preset of that name, or the preset itself.

    Raises:
        BadInput: where no preset has the name.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise BadInput(f"There is no network preset {preset!r}; expected one of {', '.join(PRESETS)}.")
    return PRESETS[preset]
