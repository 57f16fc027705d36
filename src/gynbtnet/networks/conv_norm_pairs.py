"""Pairs of a convolution and the norm that follows it."""

from collections.abc import Iterator

from torch import nn


def find_normalised_convolutions(network: nn.Module) -> Iterator[nn.Conv3d]:
    """Find the convolutions whose output goes only into an instance norm: their biases have no effect.

    A module lists its pairs in a property ``conv_norm_pairs``. An instance norm subtracts the mean of each channel and
    with it any bias. A batch norm does so only in training, because its running mean contains the bias; its pairs are
    left out here.

    Args:
        network: Any network. A network without such pairs has no such convolutions.

    Yields:
        The convolutions, in the network's order.
    """
    for module in network.modules():
        for convolution, norm in getattr(module, "conv_norm_pairs", ()):
            if isinstance(norm, nn.InstanceNorm3d):
                yield convolution
