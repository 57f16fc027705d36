"""How models are compared."""

from typing import Literal

from pydantic import Field, field_validator

from gynbtnet.evaluation.score_table import METRICS
from gynbtnet.evaluation.statistics.paired_values import BETTER
from gynbtnet.settings import Settings

PairTest = Literal["tukey", "wilcoxon", "permutation", "patient_permutation"]


class ComparisonSettings(Settings):
    """What is compared, and by which test it is marked."""

    metrics: tuple[str, ...] = ("dsc", "hd95_mm", "asd_mm")
    """The paper's three; any that has a better end."""
    marks: PairTest = "permutation"
    """Whose adjusted p-values the marks * and † are made of."""
    resamples: int = Field(100_000, ge=1000, le=10_000_000)
    """The most swaps that a permutation test counts, and how often patients are drawn for an interval."""
    seed: int = Field(0, ge=0)
    """Of swaps and draws."""

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        possible = [name for name in METRICS if name in BETTER]
        unknown = [name for name in metrics if name not in possible]
        if unknown or not metrics or len(set(metrics)) < len(metrics):
            raise ValueError(f"expected some of {', '.join(possible)}, each once")
        return metrics
