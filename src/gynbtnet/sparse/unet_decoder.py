"""The segmentation network's decoder as decoder of masked pretraining."""

from collections.abc import Sequence

from torch import Tensor, nn

from gynbtnet.networks.presets import Preset
from gynbtnet.networks.unet import Decoder


class UNetDecoder(nn.Module):
    """The decoder of stages 2 and 3, of which only the finest level's output is used; other heads stay untrained.

    Args:
        preset: Channels and depth of the levels.
        outputs: Channels of the image.
    """

    def __init__(self, preset: Preset, outputs: int) -> None:
        super().__init__()
        self.network = Decoder(preset, outputs)
        for head in list(self.network.heads)[:-1]:
            head.requires_grad_(False)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Compute (B, outputs, D, H, W) from dense features of every level, fine to coarse."""
        (finest,) = self.network(features, deep_supervision=False)
        return finest  # type: ignore[no-any-return]
