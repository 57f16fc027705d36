"""Settings of a comparison of models."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from gynbtnet.evaluation.metrics.score_table import METRICS
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.settings import Settings

PairTest = Literal["patient", "patient_permutation", "patient_t", "permutation", "wilcoxon", "tukey"]


class ComparisonSettings(Settings):
    """Compared metrics, significance test, number of resamples and seed."""

    metrics: tuple[str, ...] = ("dsc", "hd95_mm", "asd_mm")
    """Compared metrics; the default is the paper's three. Any metric with a better direction is possible."""
    significance_test: PairTest = "patient"
    """Test whose adjusted p-values give the marks * and †. "patient": the permutation by patient if it can give a †,
    otherwise the t test by patient. The paper's tests are "tukey" (Table 1) and "permutation" (by case; Table 2); these
    and "wilcoxon" are not valid for several fractions per patient."""
    margin: float | None = Field(None, gt=0, lt=1)
    """Largest acceptable disadvantage of our model in DSC, for a test of non-inferiority; None: no such test."""
    n_resamples: int = Field(100_000, ge=1000, le=10_000_000)
    """Number of random swaps of a permutation test with more than 36 cases or patients; for fewer, all are counted."""
    seed: int = Field(0, ge=0)
    """Seed of the random swaps."""

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if problem := _problem(metrics):
            raise ValueError(problem)
        return metrics


def checked_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that a user has named.

    Args:
        metrics: names of metrics.

    Raises:
        BadInput: If a metric is unknown, can't be compared, or is repeated.
    """
    if problem := _problem(metrics):
        raise BadInput(f"The metrics {', '.join(metrics)} can't be compared; {problem}.")
    return tuple(metrics)


def _problem(metrics: Sequence[str]) -> str | None:
    possible = [name for name in METRICS if name in BETTER_SIGN]
    if metrics and set(metrics) <= set(possible) and len(set(metrics)) == len(metrics):
        return None
    return f"expected some of {', '.join(possible)}, each once"
