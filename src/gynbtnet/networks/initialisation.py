"""Initial weights of a network."""

import math

import torch
from torch import nn

from gynbtnet.networks.transfer import PartNames

_SLOPE = 0.01  # of LeakyReLU


def initialise_he(network: nn.Module) -> None:
    """Draw the weights of all convolutions as nnU-Net and STU-Net do, and set their biases to zero.

    The weights are normal with variance 2 / (1 + 0.01²) / inputs per output voxel (He et al. 2015), as with nnU-Net's
    ``InitWeights_He(1e-2)``. Norms, mask tokens and linear layers keep their values.

    Args:
        network: A new network, whose weights are overwritten. They are drawn from torch's global generator.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, a=_SLOPE)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def scale_heads(network: nn.Module, factor: float) -> None:
    """Multiply the weights and biases of the segmentation heads by a factor.

    Args:
        network: A network with new heads, which are changed in place.
        factor: The factor.
    """
    with torch.no_grad():
        for parameter in _heads(network).values():
            parameter.mul_(factor)


def expect_structures_rarely(network: nn.Module, probability: float = 0.01) -> None:
    """Set the biases of sigmoid heads so that every structure is unlikely at first, as in most voxels.

    With biases near zero, each structure would have a probability of 1/2 in every voxel, and the first steps would only
    lower it. The value of 0.01 is that of Lin et al. 2017 (RetinaNet, doi 10.1109/ICCV.2017.324, section 4.1).

    Args:
        network: A network with new heads, one sigmoid per structure. Their biases are overwritten.
        probability: Probability of each structure while the heads' weights give 0.
    """
    with torch.no_grad():
        for name, parameter in _heads(network).items():
            if name.endswith("bias"):
                parameter.fill_(math.log(probability / (1 - probability)))


def _heads(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters of the segmentation heads by name."""
    part_names: PartNames = getattr(network, "part_names", PartNames())
    return {name: values for name, values in network.named_parameters() if name.startswith(part_names.heads)}
