"""Record of a model's adaptation to one patient, for the manifest of a prediction."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CheckedStructure:
    """DSC of one structure on an earlier fraction that was left out of the training.

    Attributes:
        unadapted: DSC of the model as it is.
        adapted: DSC of the adapted model.
    """

    unadapted: float
    adapted: float


@dataclass(frozen=True)
class AdaptationRecord:
    """Adaptation to earlier, reviewed fractions.

    Attributes:
        fractions: SHA-256 of the earlier scans, in their order.
        steps: training steps on all fractions; 0 if nothing is adapted.
        seconds: duration of all training steps, those of the check included.
        seed: seed of the patches.
        structures: structures that come from the adapted network; all others come from the model as it is.
        check: DSC on the last earlier fraction, by structure; empty with a single earlier fraction, or if a step took
            too long.
        trial_steps: training steps of the copy that was compared; more than ``steps`` if these took longer. None: not
            recorded, as by earlier versions.
    """

    fractions: tuple[str, ...]
    steps: int
    seconds: float
    seed: int
    structures: tuple[str, ...]
    check: Mapping[str, CheckedStructure]
    trial_steps: int | None = None
