"""Selection of the parameters that a run trains, and of those with weight decay."""

from typing import Any

from torch import nn

from gynbtnet.networks.conv_norm_pairs import find_normalised_convolutions
from gynbtnet.networks.transfer import PartNames
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


def encoder_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return the trained parameters of the encoder, by the network's part names."""
    return [parameter for name, parameter in _trained(network) if _part_names(network).belongs(name, "encoder")]


def parameter_groups(
    network: nn.Module, settings: TrainingSettings, *, encoder_rate: float = 1.0, head_rate: float = 1.0
) -> list[dict[str, Any]]:
    """Return the trained parameters for the optimiser: groups with a ``weight_decay`` and a ``rate_factor``.

    If only weights decay, norms, biases and mask tokens are in a separate group, as in SparK's
    ``get_param_groups`` (Tian et al. 2023). These are all parameters with one axis, and biases and tokens of any shape.

    Args:
        network: network with its untrained parameters frozen.
        settings: settings of the run.
        encoder_rate: learning rate of the encoder, as a factor of that of the decoder.
        head_rate: learning rate of the segmentation heads, as a factor of that of the decoder.
    """
    part_names = _part_names(network)

    def rate_of(name: str) -> float:
        if part_names.belongs(name, "encoder"):
            return encoder_rate
        return 1.0 if part_names.belongs(name, "all_but_heads") else head_rate

    groups = []
    for factor in dict.fromkeys((encoder_rate, 1.0, head_rate)):
        trained = [(name, parameter) for name, parameter in _trained(network) if rate_of(name) == factor]
        groups += _decay_groups(trained, settings, factor)
    return groups


def _part_names(network: nn.Module) -> PartNames:
    return getattr(network, "part_names", PartNames())


def _trained(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]


def _decay_groups(
    trained: list[tuple[str, nn.Parameter]], settings: TrainingSettings, factor: float
) -> list[dict[str, Any]]:
    everywhere = settings.weight_decay_on == "all"
    decaying = [parameter for name, parameter in trained if everywhere or _decays(name, parameter)]
    others = [parameter for name, parameter in trained if not everywhere and not _decays(name, parameter)]
    groups = ((decaying, settings.weight_decay), (others, 0.0))
    return [
        {"params": parameters, "weight_decay": decay, "rate_factor": factor}
        for parameters, decay in groups
        if parameters
    ]


def _decays(name: str, parameter: nn.Parameter) -> bool:
    last = name.rsplit(".", maxsplit=1)[-1]
    return parameter.ndim > 1 and "bias" not in last and "token" not in last
