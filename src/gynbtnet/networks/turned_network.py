"""GynBTNet as an exported model, built by nnU-Net, on scans that nnU-Net has turned."""

from torch import Tensor, nn

from gynbtnet.networks.unet import GynBTNet, Strides

# nnU-Net's NibabelIOWithReorient turns every scan so that x and y run to the patient's right and front; GynBTNet sees
# them run to the left and back.
_AXES = (3, 4)


class TurnedGynBTNet(nn.Module):
    """What ``network_class_name`` in an exported ``plans.json`` names.

    Args:
        input_channels: channels of the image.
        num_classes: outputs, background included.
        preset: the network's size by name.
        strides: one a level, (z, y, x).
        deep_supervision: whether all levels answer.
    """

    def __init__(
        self, input_channels: int, num_classes: int, preset: str, strides: Strides, deep_supervision: bool = False
    ) -> None:
        super().__init__()
        self.network = GynBTNet(
            preset, input_channels, outputs=num_classes, strides=strides, deep_supervision=deep_supervision
        )

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Logits of an image (B, channels, z, y, x) whose axes y and x run to the front and to the right."""
        logits = self.network(image.flip(_AXES))
        return logits.flip(_AXES) if isinstance(logits, Tensor) else [level.flip(_AXES) for level in logits]
