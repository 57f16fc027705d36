"""Convolutions whose result an instance norm reads, and nothing else: their biases have no effect."""

from collections.abc import Iterator

from torch import nn


def normalised_convolutions(network: nn.Module) -> Iterator[nn.Conv3d]:
    """Find the convolutions in a network that an instance norm follows at once.

    A module names such pairs in a property ``followed_by_norm``. An instance norm subtracts the mean of each channel,
    and so any bias. A batch norm does so in training alone: its running mean holds the bias, and it is left out here.

    Args:
        network: any network; one without such pairs has none.

    Yields:
        The convolutions, in the network's order.
    """
    for module in network.modules():
        for convolution, norm in getattr(module, "followed_by_norm", ()):
            if isinstance(norm, nn.InstanceNorm3d):
                yield convolution
