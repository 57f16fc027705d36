"""GynBTNet as nnU-Net builds and calls a network."""

from torch import Tensor, nn

from gynbtnet.networks.initialisation import initialise_he
from gynbtnet.networks.unet import GynBTNet, Strides

# NibabelIOWithReorient of nnU-Net reorients every scan so that x and y increase to the patient's right and front.
# GynBTNet expects them to increase to the left and back.
_REVERSED_AXES = (3, 4)


class NnunetGynBTNet(GynBTNet):
    """GynBTNet with the arguments of nnU-Net's ``get_network_from_plans``, for its trainer and predictor.

    It has the same parameters as :class:`GynBTNet`. nnU-Net switches deep supervision on and off as an attribute of the
    decoder.

    Args:
        input_channels: Channels of the image.
        num_classes: Outputs, background included.
        preset: Name of the network's preset.
        strides: One stride (z, y, x) per level.
        deep_supervision: If true, ``forward`` returns the logits of every decoder level.
    """

    def __init__(
        self, input_channels: int, num_classes: int, preset: str, strides: Strides, deep_supervision: bool = True
    ) -> None:
        super().__init__(
            preset, input_channels, outputs=num_classes, strides=strides, deep_supervision=deep_supervision
        )
        self.decoder.deep_supervision = deep_supervision  # type: ignore[assignment]

    @staticmethod
    def initialize(module: nn.Module) -> None:
        """Draw the weights of a new convolution as those of nnU-Net's networks; nnU-Net applies it to every module."""
        if not any(module.children()):
            initialise_he(module)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Compute logits as :meth:`GynBTNet.forward`."""
        self.deep_supervision = bool(self.decoder.deep_supervision)
        return super().forward(image)


class ReorientedGynBTNet(nn.Module):
    """GynBTNet for scans that nnU-Net has reoriented; ``plans.json`` of an exported model names this class.

    Args:
        input_channels: Channels of the image.
        num_classes: Outputs, background included.
        preset: Name of the network's preset.
        strides: One stride (z, y, x) per level.
        deep_supervision: If true, ``forward`` returns the logits of every decoder level.
    """

    def __init__(
        self, input_channels: int, num_classes: int, preset: str, strides: Strides, deep_supervision: bool = False
    ) -> None:
        super().__init__()
        self.network = GynBTNet(
            preset, input_channels, outputs=num_classes, strides=strides, deep_supervision=deep_supervision
        )

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Compute the logits of an image (B, channels, z, y, x) with y and x increasing to the front and right."""
        logits = self.network(image.flip(_REVERSED_AXES))
        if isinstance(logits, Tensor):
            return logits.flip(_REVERSED_AXES)
        return [level.flip(_REVERSED_AXES) for level in logits]
