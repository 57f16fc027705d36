"""Which parameters of a network a run trains, and which of them decay."""

from typing import Any

from torch import nn

from gynbtnet.networks.conv_norm_pairs import find_normalised_convolutions
from gynbtnet.training.settings import SegmentationSettings, TrainingSettings


def freeze_untrained(network: nn.Module, settings: TrainingSettings) -> None:
    """Take the gradient from what the settings leave out of training; values stay as they are.

    These are the biases before an instance norm, which takes them off again, and the head of the coarsest level, if the
    loss doesn't look at it. Several devices wait for every gradient that may come, so that none may be left over.

    Args:
        network: of any stage, with the weights that it starts from.
        settings: of the run.
    """
    if settings.freeze_idle_biases:
        for convolution in find_normalised_convolutions(network):
            if convolution.bias is not None:
                convolution.bias.requires_grad_(False)
    if isinstance(settings, SegmentationSettings) and not settings.supervise_coarsest:
        decoder = getattr(network, "decoder", None)
        heads: list[nn.Module] = list(getattr(decoder, "heads", ()))
        if settings.deep_supervision and len(heads) > 1:
            heads[0].requires_grad_(False)  # heads run from coarse to fine


def parameter_groups(network: nn.Module, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Parameters for AdamW, in one group or, if only weights decay, in two: those that decay, those that don't.

    Norms, biases and mask tokens don't decay then, as in SparK's ``get_param_groups`` (Tian et al. 2023): whatever has
    one axis, and biases and tokens of any shape.

    Args:
        network: with what isn't trained frozen.
        settings: of the run.
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
