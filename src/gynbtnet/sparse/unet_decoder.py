"""The segmentation network's decoder, reconstructing an image."""

from collections.abc import Sequence

from torch import Tensor, nn

from gynbtnet.networks.presets import Preset
from gynbtnet.networks.unet import Decoder


class UNetDecoder(nn.Module):
    """The decoder of stages 2 and 3, answering at its finest level alone; the other levels' heads stay untrained."""

    def __init__(self, preset: Preset, outputs: int) -> None:
        super().__init__()
        self.network = Decoder(preset, outputs)
        for head in list(self.network.heads)[:-1]:
            head.requires_grad_(False)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Dense features of every level, fine to coarse → (B, outputs, D, H, W)."""
        (finest,) = self.network(features, deep_supervision=False)
        return finest  # type: ignore[no-any-return]
