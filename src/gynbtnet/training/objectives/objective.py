"""Interface of an objective: network, loss and scores of a training stage."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from matplotlib.figure import Figure
from torch import Tensor, nn

from gynbtnet.training.data.batches import Batch


class Objective(Protocol):
    """A network and its task. The engine needs nothing else of a stage."""

    @property
    def title(self) -> str:
        """Title of the progress bar."""

    @property
    def network(self) -> nn.Module:
        """Network to train; the run saves its ``state_dict``."""

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of the scores of :meth:`validate`."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of a batch; ``network`` is :attr:`network`, wrapped for the devices."""

    def validate(self, patches: Iterable[Batch]) -> dict[str, float]:
        """Return the scores of the network on fixed patches; NaN if there was nothing to score."""

    def score(self, scores: Mapping[str, float]) -> float:
        """Return the score that selects the best weights, with the sign for which higher is better."""

    def picture(self, patches: Sequence[Batch]) -> Figure:
        """Plot a few fixed patches with the network's output."""
