"""The networks that a plan names."""

from torch import nn

from gynbtnet.networks.unet import GynBTNet
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.runtime.optional_dependencies import require


def build_network(plan: Plan, *, deep_supervision: bool) -> nn.Module:
    """The segmentation network of a plan, one output more than it has structures, with new weights.

    Args:
        plan: network, preset, strides and channels.
        deep_supervision: whether its ``forward`` answers with the logits of every decoder level; Swin-UNETR has those
            of the finest alone.

    Raises:
        BadInput: where the network is Swin-UNETR and MONAI isn't installed.
    """
    channels, outputs = len(plan.channels), len(plan.structures) + 1
    if plan.network == "swin_unetr":
        _require_monai()
        from gynbtnet.networks.swin_unetr import SwinUNETR

        return SwinUNETR(plan.preset, channels, outputs=outputs)
    network = GynBTNet(plan.preset, channels, outputs=outputs, strides=plan.strides, deep_supervision=deep_supervision)
    if not deep_supervision:
        # Heads run from coarse to fine, and only the finest is used. DDP waits for the gradient of every other one.
        network.decoder.heads[:-1].requires_grad_(False)
    return network


def build_proxy_network(plan: Plan) -> nn.Module:
    """What Swin-UNETR is pretrained as, with new weights.

    Raises:
        BadInput: where MONAI isn't installed.
    """
    _require_monai()
    from gynbtnet.networks.swin_pretraining import SwinPretraining

    return SwinPretraining(plan.preset, len(plan.channels))


def _require_monai() -> None:
    """Its import takes seconds, and is left to those who ask for its network."""
    require("baselines", "monai", "einops")
