"""Networks as a plan describes them."""

from torch import nn

from gynbtnet.networks.nnunet_unet import NnunetUNet
from gynbtnet.networks.unet import GynBTNet
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.runtime.optional_dependencies import require
from gynbtnet.sparse.channels_last import use_channels_last_layers


def build_network(plan: Plan, *, deep_supervision: bool) -> nn.Module:
    """Return the segmentation network of a plan, with new weights.

    Args:
        plan: network, preset, strides and channels.
        deep_supervision: if True, ``forward`` returns the logits of every decoder level; Swin-UNETR only has those of
            the finest level.

    Returns:
        The network, in training mode.

    Raises:
        BadInput: If the network is Swin-UNETR and MONAI isn't installed.
    """
    channels, outputs = len(plan.channels), plan.outputs
    if plan.network == "swin_unetr":
        _require_monai()
        from gynbtnet.networks.swin_unetr import SwinUNETR

        return SwinUNETR(plan.preset, channels, outputs=outputs)
    if plan.architecture is not None:
        nnunet = NnunetUNet(plan.architecture, channels, outputs=outputs, deep_supervision=deep_supervision)
        if not deep_supervision:
            nnunet.decoder.heads[:-1].requires_grad_(False)
        return nnunet
    network = GynBTNet(plan.preset, channels, outputs=outputs, strides=plan.strides, deep_supervision=deep_supervision)
    use_channels_last_layers(network)
    if not deep_supervision:
        # Heads are ordered from coarse to fine, and only the finest is used. DDP would wait for the others' gradients.
        network.decoder.heads[:-1].requires_grad_(False)
    return network


def build_proxy_network(plan: Plan) -> nn.Module:
    """Return the network in which Swin-UNETR's encoder is pretrained, with new weights.

    Args:
        plan: preset and channels.

    Returns:
        The network, in training mode.

    Raises:
        BadInput: If MONAI isn't installed.
    """
    _require_monai()
    from gynbtnet.networks.swin_pretraining import SwinPretraining

    return SwinPretraining(plan.preset, len(plan.channels))


def _require_monai() -> None:
    """Refuse to continue without MONAI; its import takes seconds and is delayed until its network is needed."""
    require("baselines", "monai", "einops")
