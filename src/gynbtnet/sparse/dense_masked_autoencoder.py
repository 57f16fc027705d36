"""Network of stage 1 without sparse convolution: masked voxels are zero, and the encoder reads the whole image."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gynbtnet.networks.presets import Preset, find_preset
from gynbtnet.networks.unet import Encoder, Strides
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly
from gynbtnet.sparse.densify import make_projection
from gynbtnet.sparse.masked_autoencoder import DecoderKind, decoder_widths, make_decoder


class DenseMaskedAutoencoder(nn.Module):
    """The usual dense encoder on an image with zeros in masked voxels, and the decoder of ``MaskedAutoencoder``.

    This is plain masked autoencoding with a convolutional network. It was the best of the compared methods for
    segmentation in OpenMind (Wald et al. 2024, arXiv 2412.17041). Zero is the mean of a z-scored image. The norms
    include masked voxels, and the encoder's features are projected to the decoder without another norm.

    Args:
        preset: A name in ``PRESETS``, or a preset.
        in_channels: Channels of the image, 1 for CT.
        strides: One stride per level, a number or (z, y, x). None: the preset's strides.
        decoder: ``light``, or ``unet`` for the segmentation network's decoder.

    Raises:
        BadInput: If no preset has the given name.
    """

    def __init__(
        self,
        preset: str | Preset = "L",
        in_channels: int = 1,
        *,
        strides: Strides | None = None,
        decoder: DecoderKind = "light",
    ) -> None:
        super().__init__()
        size = find_preset(preset)
        self.encoder = Encoder(size, in_channels, strides)
        widths = decoder_widths(size, decoder)
        deepest = len(widths) - 1
        self.projections = nn.ModuleList(
            make_projection(channels, width, deepest=level == deepest)
            for level, (channels, width) in enumerate(zip(size.channels, widths, strict=True))
        )
        self.decoder = make_decoder(size, in_channels, decoder)

    def forward(self, image: Tensor, active: ActiveBlocks | Tensor) -> Tensor:
        """Reconstruct an image.

        Args:
            image: (B, in_channels, D, H, W). Masked voxels are never read.
            active: Cells that are not masked, or a boolean mask (B, gz, gy, gx) that is true for them.

        Returns:
            The reconstruction, (B, in_channels, D, H, W).

        Raises:
            BadInput: If the image's size is not a multiple of the encoder's total stride.
            ValueError: If the image is not divisible into mask cells.
        """
        if isinstance(active, Tensor):
            active = ActiveBlocks(active, image.device)
        shape = image.shape[2:]
        divide_exactly(shape, active.grid)
        visible = interpolate(active.mask[:, None].to(image.device, torch.uint8, non_blocking=True), shape).bool()
        features = self.encoder(image.masked_fill(~visible, 0))
        levels = zip(self.projections, features, strict=True)
        return self.decoder([projection(values) for projection, values in levels])  # type: ignore[no-any-return]
