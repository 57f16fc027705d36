"""How models are compared."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from gynbtnet.evaluation.metrics.score_table import METRICS
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.settings import Settings

PairTest = Literal["tukey", "wilcoxon", "permutation", "patient_permutation"]


class ComparisonSettings(Settings):
    """What is compared, and by which test it is marked."""

    metrics: tuple[str, ...] = ("dsc", "hd95_mm", "asd_mm")
    """The paper's three; any that has a better end."""
    significance_test: PairTest = "permutation"
    """Whose adjusted p-values the marks * and † are made of."""
    n_resamples: int = Field(100_000, ge=1000, le=10_000_000)
    """The most swaps that a permutation test counts, and how often patients are drawn for an interval."""
    seed: int = Field(0, ge=0)
    """Of swaps and draws."""

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if problem := _problem(metrics):
            raise ValueError(problem)
        return metrics


def checked_metrics(named: Sequence[str]) -> tuple[str, ...]:
    """Metrics as a user names them.

    Raises:
        BadInput: where one is unknown, can't be compared, or is there twice.
    """
    if problem := _problem(named):
        raise BadInput(f"The metrics {', '.join(named)} can't be compared as they are; {problem}.")
    return tuple(named)


def _problem(metrics: Sequence[str]) -> str | None:
    possible = [name for name in METRICS if name in BETTER_SIGN]
    if metrics and set(metrics) <= set(possible) and len(set(metrics)) == len(metrics):
        return None
    return f"expected some of {', '.join(possible)}, each once"
