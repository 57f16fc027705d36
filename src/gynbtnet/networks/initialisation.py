"""Initial weights of a network."""

from torch import nn

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
