"""Network of stage 1, which reads some cells of a scan and reconstructs the others."""

from typing import cast

import torch
from torch import Tensor, nn

from gynbtnet.networks.blocks import NormKind
from gynbtnet.networks.presets import Preset, find_preset
from gynbtnet.networks.unet import Encoder, Strides
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.densify import Densify
from gynbtnet.sparse.device_rules import DeviceRules, rules_for
from gynbtnet.sparse.light_decoder import LightDecoder
from gynbtnet.sparse.registered_parts import find_decoder
from gynbtnet.sparse.sparse_encoder import sparse_encode
from gynbtnet.sparse.unet_decoder import UNetDecoder

MIN_WIDTH = 16
"""Smallest width of the light decoder; convolutions with fewer channels are slow on a CPU."""


class MaskedAutoencoder(nn.Module):
    """GynBTNet's encoder on active blocks, dense maps of its features, and a dense decoder.

    The encoder's parameters have their names in ``GynBTNet``: ``encoder.…``.

    Args:
        preset: A name in ``PRESETS``, or a preset.
        in_channels: Channels of the image, 1 for CT.
        strides: One stride per level, a number or (z, y, x). None: the preset's strides.
        norm: Kind of the norms in encoder and densify; the paper mentions both kinds.
        decoder: ``light``, ``unet`` for the segmentation network's decoder, or the name of a registered one.
        activation_checkpointing: If true, only each encoder block's output is stored for the gradients, and the rest is
            recomputed: less memory, more time.
        outputs: Channels of the reconstruction. None: those of the image.
        rules: Rules of the device. None: those of the image's device.

    Raises:
        BadInput: If no preset has the given name.
        ValueError: If no decoder has the given name.
    """

    def __init__(
        self,
        preset: str | Preset = "L",
        in_channels: int = 1,
        *,
        strides: Strides | None = None,
        norm: NormKind = "instance",
        decoder: str = "light",
        outputs: int | None = None,
        activation_checkpointing: bool = False,
        rules: DeviceRules | None = None,
    ) -> None:
        super().__init__()
        self.rules = rules
        self.activation_checkpointing = activation_checkpointing
        size = find_preset(preset)
        self.encoder = Encoder(size, in_channels, strides, norm)
        _use_channels_last(self.encoder)
        widths = decoder_widths(size, decoder)
        deepest = len(widths) - 1
        self.densify = nn.ModuleList(
            Densify(channels, width, deepest=level == deepest, norm=norm)
            for level, (channels, width) in enumerate(zip(size.channels, widths, strict=True))
        )
        self.decoder = make_decoder(size, outputs or in_channels, decoder, rules)

    def forward(self, image: Tensor, active: ActiveBlocks | Tensor) -> Tensor:
        """Reconstruct an image.

        Args:
            image: (B, in_channels, D, H, W). Masked voxels are never read.
            active: Cells that are not masked, or a boolean mask (B, gz, gy, gx) that is true for them.

        Returns:
            The reconstruction, (B, outputs, D, H, W).

        Raises:
            ValueError: If the image is not divisible into mask cells, or a cell by the encoder's total stride. Also if
                a mask has another type or number of axes.
        """
        return self.decoder(self._encode(image, active))  # type: ignore[no-any-return]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _encode(self, image: Tensor, active: ActiveBlocks | Tensor) -> list[Tensor]:
        """Return dense features of every level in the decoder's width, fine to coarse.

        This is not part of the graph that torch.compile builds, because index tables depend on the mask's values.
        """
        if isinstance(active, Tensor):
            active = ActiveBlocks(active, image.device)
        rules = self.rules or rules_for(image.device)
        packed = sparse_encode(
            self.encoder, image, active, activation_checkpointing=self.activation_checkpointing, rules=rules
        )
        return [cast("Densify", level)(values, rules) for level, values in zip(self.densify, packed, strict=True)]


def decoder_widths(preset: Preset, kind: str) -> list[int]:
    """Return the channels of each level of the decoder, fine to coarse."""
    if kind == "unet":
        return list(preset.channels)
    return [max(channels // 4, MIN_WIDTH) for channels in preset.channels]


def make_decoder(preset: Preset, outputs: int, kind: str, rules: DeviceRules | None = None) -> nn.Module:
    """Make the decoder for an encoder of the preset and a reconstruction with ``outputs`` channels.

    ``rules`` are those of the light decoder's device; None: of the features' device.

    Raises:
        ValueError: If no decoder has the name ``kind``.
    """
    make = find_decoder(kind)
    if make is not None:
        return make(decoder_widths(preset, kind), outputs)
    if kind == "unet":
        return UNetDecoder(preset, outputs)
    return LightDecoder(decoder_widths(preset, kind), outputs, rules)


def _use_channels_last(encoder: Encoder) -> None:
    """Store the 3×3×3 weights channels last, in which the sparse convolutions read and write them tap by tap."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size == (3, 3, 3):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)
