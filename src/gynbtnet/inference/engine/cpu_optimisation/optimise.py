"""Replacement of GynBTNet by its memory-lean form for prediction on a CPU."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from gynbtnet.inference.engine.cpu_optimisation.blocks import CpuDecoderBlock, CpuResidualBlock
from gynbtnet.inference.engine.cpu_optimisation.slab_convolution import convolve
from gynbtnet.inference.engine.cpu_optimisation.tuning import CpuTuning
from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.networks.unet import GynBTNet


def optimise_for_cpu(network: nn.Module, tuning: CpuTuning | None = None) -> nn.Module:
    """Return a network that predicts the same on a CPU with less memory and in less time.

    Convolutions run in slabs. Norms and second convolutions overwrite their inputs. The upsampled maps of the decoder
    are never computed, and feature maps are freed after use. ``benchmarks/cpu_optimisation.py`` measures it.

    Args:
        network: A ``GynBTNet``. It is not changed.
        tuning: Sizes from which each form is used. None: as measured.

    Returns:
        A network with the same parameters under the same names, which computes without gradients and only on a CPU. Any
        network other than a ``GynBTNet`` is returned itself.
    """
    return CpuGynBTNet(network, tuning or CpuTuning()) if isinstance(network, GynBTNet) else network


class CpuGynBTNet(nn.Module):
    """GynBTNet in its memory-lean form, for prediction on a CPU.

    Args:
        network: Network whose convolutions and norms are used, under the same names.
        tuning: Sizes from which each form is used.
    """

    def __init__(self, network: GynBTNet, tuning: CpuTuning) -> None:
        super().__init__()
        self.deep_supervision = network.deep_supervision
        self.slab_values = tuning.slab_values
        self._check_size = network.encoder.deepest_grid
        encoder, decoder = network.encoder, network.decoder
        encoder_levels = (
            nn.Sequential(*(CpuResidualBlock(block, tuning) for block in _blocks(level))) for level in encoder.levels
        )
        decoder_levels = (_decoder_level(_blocks(level), tuning) for level in decoder.levels)
        self.encoder = nn.ModuleDict({"levels": nn.ModuleList(encoder_levels)})
        self.decoder = nn.ModuleDict(
            {"projections": decoder.projections, "levels": nn.ModuleList(decoder_levels), "heads": decoder.heads}
        )

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Compute the logits of an image (B, in_channels, D, H, W) as :meth:`GynBTNet.forward` does.

        Raises:
            ValueError: If the image is not on a CPU.
            BadInput: If the image's size is not a multiple of the encoder's total stride.
        """
        if image.device.type != "cpu":
            raise ValueError(f"a network optimised for CPUs computes on a CPU, not on {image.device}")
        self._check_size(image.shape[2:])
        x, features = image, []
        for level in _modules(self.encoder["levels"]):
            x = level(x)
            features.append(x)
        x, logits = features.pop(), []
        for projection, level, head in zip(*map(_modules, self.decoder.values()), strict=True):
            merging_block, *blocks = _modules(level)
            x = merging_block(projection(x), features.pop())  # a map that has been popped is freed after its use
            for block in blocks:
                x = block(x)
            if self.deep_supervision or not features:
                conv = cast("nn.Conv3d", head)
                logits.append(convolve(x, conv.weight, conv.bias, (1, 1, 1), slab_values=self.slab_values))
        return logits[::-1] if self.deep_supervision else logits[0]


def _decoder_level(blocks: Iterable[ResidualBlock], tuning: CpuTuning) -> nn.ModuleList:
    """Return the lean blocks of a decoder level, the first of which reads two maps."""
    first, *others = blocks
    return nn.ModuleList([CpuDecoderBlock(first, tuning), *(CpuResidualBlock(block, tuning) for block in others)])


def _blocks(level: nn.Module) -> tuple[ResidualBlock, ...]:
    return cast("tuple[ResidualBlock, ...]", tuple(level.children()))


def _modules(modules: nn.Module) -> Iterable[nn.Module]:
    return cast("Iterable[nn.Module]", modules)
