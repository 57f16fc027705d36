"""The network of stage 1: it sees some cells of a scan and reconstructs the others."""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from gynbtnet.networks.blocks import NormKind
from gynbtnet.networks.presets import Preset, find_preset
from gynbtnet.networks.unet import Encoder, Strides
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.densify import Densify
from gynbtnet.sparse.light_decoder import LightDecoder
from gynbtnet.sparse.sparse_encoder import sparse_encode
from gynbtnet.sparse.unet_decoder import UNetDecoder

DecoderKind = Literal["light", "unet"]

NARROWEST = 16
"""Convolutions with fewer channels are slow on a CPU."""


class MaskedAutoencoder(nn.Module):
    """GynBTNet's encoder on active blocks, densified at every level, and a dense decoder.

    The encoder's names in the ``state_dict`` are those of ``GynBTNet``: ``encoder.…``.

    Args:
        preset: a name in ``PRESETS``, or a preset of your own.
        in_channels: channels of the image, 1 for CT.
        strides: one a level, a number or (z, y, x); the preset's where None.
        norm: the norm of encoder and densify; the paper names both.
        decoder: ``light``, or ``unet`` for that of the segmentation network.
        recompute: keep only each encoder block's output and compute the rest again for the gradients: less memory, more
            time.
    """

    def __init__(
        self,
        preset: str | Preset = "L",
        in_channels: int = 1,
        *,
        strides: Strides | None = None,
        norm: NormKind = "instance",
        decoder: DecoderKind = "light",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        size = find_preset(preset)
        self.encoder = Encoder(size, in_channels, strides, norm)
        _lay_out_by_tap(self.encoder)
        light = decoder == "light"
        widths = [max(channels // 4, NARROWEST) if light else channels for channels in size.channels]
        deepest = len(widths) - 1
        self.densify = nn.ModuleList(
            Densify(channels, width, deepest=level == deepest, norm=norm)
            for level, (channels, width) in enumerate(zip(size.channels, widths, strict=True))
        )
        self.decoder = LightDecoder(widths, in_channels) if light else UNetDecoder(size, in_channels)

    def forward(self, image: Tensor, active: ActiveBlocks) -> Tensor:
        """The reconstruction (B, in_channels, D, H, W) of an image of that shape; its masked voxels are never read.

        Raises:
            ValueError: where the image doesn't divide into mask cells, or a cell by the encoder's total stride.
        """
        return self._reconstructed(self._seen(image, active))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _seen(self, image: Tensor, active: ActiveBlocks) -> list[Tensor]:
        """Dense features of every level, fine to coarse, before their projection.

        Outside the graph that torch.compile builds: its index tables depend on the values of the mask.
        """
        packed = sparse_encode(self.encoder, image, active, recompute=self.recompute)
        return [cast("Densify", level).filled(features) for level, features in zip(self.densify, packed, strict=True)]

    def _reconstructed(self, seen: list[Tensor]) -> Tensor:
        return self.decoder(  # type: ignore[no-any-return]
            [cast("Densify", level).projection(features) for level, features in zip(self.densify, seen, strict=True)]
        )


def _lay_out_by_tap(encoder: Encoder) -> None:
    """Lay the 3×3×3 weights channels last: the sparse convolutions read and write them tap by tap as they lie."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size == (3, 3, 3):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)
