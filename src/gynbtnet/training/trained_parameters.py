"""Selection of the parameters that a run trains, and of those with weight decay."""

from typing import Any

from torch import nn

from gynbtnet.networks.conv_norm_pairs import find_normalised_convolutions
from gynbtnet.training.settings import SegmentationSettings, TrainingSettings


def freeze_untrained(network: nn.Module, settings: TrainingSettings) -> None:
    """Freeze the parameters that the settings exclude from training; their values don't change.

    These are the biases before an instance norm, which subtracts them again. If the loss doesn't use it, the head of
    the coarsest level is frozen too. Several devices wait for the gradient of every trained parameter, so each must get
    one.

    Args:
        network: network of any stage, with its initial weights; it is changed in place.
        settings: settings of the run.
    """
    if settings.freeze_idle_biases:
        for convolution in find_normalised_convolutions(network):
            if convolution.bias is not None:
                convolution.bias.requires_grad_(False)
    if isinstance(settings, SegmentationSettings) and not settings.supervise_coarsest:
        decoder = getattr(network, "decoder", None)
        heads: list[nn.Module] = list(getattr(decoder, "heads", ()))
        if settings.deep_supervision and len(heads) > 1:
            heads[0].requires_grad_(False)  # heads are ordered from coarse to fine


def parameter_groups(network: nn.Module, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Return the trained parameters for AdamW: one group, or two if only weights decay.

    In this case norms, biases and mask tokens don't decay, as in SparK's ``get_param_groups`` (Tian et al. 2023). These
    are all parameters with one axis, and biases and tokens of any shape.

    Args:
        network: network with its untrained parameters frozen.
        settings: settings of the run.
    """
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if settings.weight_decay_on == "all":
        return [{"params": [parameter for _, parameter in trained], "weight_decay": settings.weight_decay}]
    decaying = [parameter for name, parameter in trained if _decays(name, parameter)]
    others = [parameter for name, parameter in trained if not _decays(name, parameter)]
    groups = ((decaying, settings.weight_decay), (others, 0.0))
    return [{"params": parameters, "weight_decay": decay} for parameters, decay in groups if parameters]


def _decays(name: str, parameter: nn.Parameter) -> bool:
    last = name.rsplit(".", maxsplit=1)[-1]
    return parameter.ndim > 1 and "bias" not in last and "token" not in last
