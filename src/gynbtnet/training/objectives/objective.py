"""What makes a training stage the stage it is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from matplotlib.figure import Figure
from torch import Tensor, nn

from gynbtnet.training.data.batches import Batch


class Objective(Protocol):
    """A network and what it is asked to do. The engine knows nothing else of a stage."""

    @property
    def title(self) -> str:
        """What the progress bar says."""

    @property
    def network(self) -> nn.Module:
        """What is trained; its ``state_dict`` is what the run leaves."""

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of what :meth:`validate` measures."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """What is to be made small; ``network`` is :attr:`network`, wrapped for the devices it is on."""

    def validate(self, patches: Iterable[Batch]) -> dict[str, float]:
        """Scores of the network on fixed patches; NaN where there was nothing to score."""

    def score(self, scores: Mapping[str, float]) -> float:
        """The one of the scores by which the best weights are chosen, turned so that higher is better."""

    def picture(self, patches: Sequence[Batch]) -> Figure:
        """What the network makes of a few fixed patches."""
