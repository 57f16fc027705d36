"""Exponential moving average of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Exponential moving average of a network's parameters, sharded as they are; buffers aren't averaged.

    The decay of step t, from 1, is ``min(decay, (1 + t) / (10 + t))``, as in TensorFlow's
    ``tf.train.ExponentialMovingAverage`` with ``num_updates``. Then the first, random weights have no lasting effect.

    Args:
        network: network whose present parameters are the first average.
        decay: decay of late steps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay = network, decay
        self._averages: list[Tensor] = []
        self.restart()

    def restart(self) -> None:
        """Take the present parameters as the average."""
        self._averages = [torch.empty_like(values).copy_(values) for values in self._parameters()]

    def update(self, step: int) -> None:
        """Add the parameters after optimiser step number ``step``, from 1, to the average."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for average, values in zip(self._averages, self._parameters(), strict=True):
            average.mul_(decay).add_(values, alpha=1 - decay)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Give the network the averages inside of the context, and its own parameters back afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for average, values in zip(self._averages, self._parameters(), strict=True):
                own = values.clone()
                values.copy_(average)
                average.copy_(own)

    def _parameters(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self._network.parameters()]
