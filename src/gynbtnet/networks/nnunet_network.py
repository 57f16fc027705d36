"""GynBTNet as nnU-Net builds and drives a network."""

from torch import Tensor

from gynbtnet.networks.unet import GynBTNet, Strides


class NnunetGynBTNet(GynBTNet):
    """The same network and the same weights, for ``get_network_from_plans`` and nnU-Net's trainer and predictor.

    They name the arguments otherwise, and switch deep supervision on the decoder.
    """

    def __init__(
        self, input_channels: int, num_classes: int, preset: str, strides: Strides, deep_supervision: bool = True
    ) -> None:
        super().__init__(
            preset, input_channels, outputs=num_classes, strides=strides, deep_supervision=deep_supervision
        )
        self.decoder.deep_supervision = deep_supervision  # type: ignore[assignment]

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """As :meth:`GynBTNet.forward`."""
        self.deep_supervision = bool(self.decoder.deep_supervision)
        return super().forward(image)
