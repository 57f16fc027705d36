"""Networks, their presets, and the transfer of weights from stage to stage.

``GynBTNet`` is the residual U-Net of the method. ``SwinUNETR`` is a baseline and needs the extra ``baselines``.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.networks.blocks import ResidualBlock, make_norm, upsample
    from gynbtnet.networks.initialisation import initialise_he
    from gynbtnet.networks.nnunet_architecture import UNetArchitecture, parse_architecture
    from gynbtnet.networks.nnunet_unet import NnunetUNet
    from gynbtnet.networks.nnunet_weights import NnunetCheckpoint, read_nnunet_checkpoint
    from gynbtnet.networks.presets import PRESETS, Preset, find_preset
    from gynbtnet.networks.stu_net import read_stu_net, write_stu_net
    from gynbtnet.networks.swin_pretraining import ProxyOutputs, SwinPretraining
    from gynbtnet.networks.swin_unetr import SwinUNETR
    from gynbtnet.networks.transfer import PartNames, TransferReport, transfer_weights
    from gynbtnet.networks.unet import Decoder, Encoder, GynBTNet
    from gynbtnet.networks.weights_file import load_weights, read_weights

__all__ = [
    "PRESETS",
    "Decoder",
    "Encoder",
    "GynBTNet",
    "NnunetCheckpoint",
    "NnunetUNet",
    "PartNames",
    "Preset",
    "ProxyOutputs",
    "ResidualBlock",
    "SwinPretraining",
    "SwinUNETR",
    "TransferReport",
    "UNetArchitecture",
    "find_preset",
    "initialise_he",
    "load_weights",
    "make_norm",
    "parse_architecture",
    "read_nnunet_checkpoint",
    "read_stu_net",
    "read_weights",
    "transfer_weights",
    "upsample",
    "write_stu_net",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "presets": ["PRESETS", "Preset", "find_preset"],
        "blocks": ["ResidualBlock", "make_norm", "upsample"],
        "unet": ["Decoder", "Encoder", "GynBTNet"],
        "initialisation": ["initialise_he"],
        "transfer": ["PartNames", "TransferReport", "transfer_weights"],
        "weights_file": ["load_weights", "read_weights"],
        "nnunet_architecture": ["UNetArchitecture", "parse_architecture"],
        "nnunet_unet": ["NnunetUNet"],
        "nnunet_weights": ["NnunetCheckpoint", "read_nnunet_checkpoint"],
        "stu_net": ["read_stu_net", "write_stu_net"],
        "swin_unetr": ["SwinUNETR"],
        "swin_pretraining": ["ProxyOutputs", "SwinPretraining"],
    },
)
