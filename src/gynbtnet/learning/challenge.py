"""Champion against challenger: differences on the frozen test by structure, with intervals by patient and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.statistics.paired_values import PairedValues, pair_values
from gynbtnet.evaluation.statistics.patient_bootstrap import (
    FEWEST_PATIENTS,
    bootstrap_interval,
    resample_patients,
    sum_by_patient,
)
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.learning.settings import LearningSettings
from gynbtnet.runtime.phrases import counted, enumeration

Verdict = Literal["gains", "loses", "no difference shown", "can't be decided"]


@dataclass(frozen=True)
class StructureChallenge:
    """Result of a challenge for one structure.

    Attributes:
        structure: identifier of the structure.
        patients: number of patients in whom both models can be judged.
        champion, challenger: mean DSC over the cases; None without a case.
        difference: challenger minus champion.
        low, high: ends of the interval of the difference by patient; None for fewer than five patients.
        verdict: the interval is above 0, below 0, includes 0, or doesn't exist.
    """

    structure: str
    patients: int
    champion: float | None
    challenger: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Challenge:
    """Result of a challenge.

    Attributes:
        structures: result for each structure.
        promoted: the challenger replaces the champion.
        reason: one sentence.
    """

    structures: tuple[StructureChallenge, ...]
    promoted: bool
    reason: str


def challenge(
    champion: Evaluation, challenger: Evaluation, structures: Sequence[str], settings: LearningSettings
) -> Challenge:
    """Compare two models on the same patients.

    The challenger is promoted if it loses on no structure and gains on at least one. Both are decided by the interval
    of the difference of the DSC over patients. If a structure can't be decided, a loss can't be excluded: it isn't
    promoted.

    Args:
        champion: scores of the present model.
        challenger: scores of the new model on the same cases.
        structures: structures of both.
        settings: confidence level, resamples and seed.
    """
    evaluations = {"champion": champion, "challenger": challenger}
    results = tuple(_judge(pair_values(evaluations, name, "dsc"), settings) for name in structures)
    verdicts: dict[Verdict, list[str]] = {}
    for result in results:
        verdicts.setdefault(result.verdict, []).append(StructureNames.load().display_name(result.structure))
    return Challenge(results, *_decide(verdicts))


def few_patients_sentence(number: int) -> str:
    """Return what a frozen test with fewer patients than an interval needs can't do."""
    return (
        f"The frozen test has {counted(number, 'patient')}. With fewer than {FEWEST_PATIENTS}, challengers are trained "
        "and compared but never promoted; begin in a new --out with a model whose split has more test patients."
    )


def printed_numbers(row: StructureChallenge) -> tuple[str, str, str, str, str]:
    """Return patients, both DSC, their difference and its interval as texts; a dash if there is none."""
    return (
        str(row.patients),
        "–" if row.champion is None else f"{row.champion:.3f}",
        "–" if row.challenger is None else f"{row.challenger:.3f}",
        "–" if row.difference is None else _signed(row.difference),
        "–" if row.low is None or row.high is None else f"{_signed(row.low)} to {_signed(row.high)}",
    )


def _signed(value: float) -> str:
    """Return a value with its sign, and with a fourth digit if it would look like zero with three."""
    return f"{value:+.4f}" if 0 < abs(value) < 0.0005 else f"{value:+.3f}"


def _judge(values: PairedValues, settings: LearningSettings) -> StructureChallenge:
    if not values.cases:
        return StructureChallenge(values.structure, 0, None, None, None, None, None, "can't be decided")
    differences = values.differences("challenger", "champion")
    sums, cases = sum_by_patient(np.stack([differences, np.ones_like(differences)], axis=1), values.patients).T
    drawn = resample_patients(values.n_patients, settings.n_resamples, settings.seed)
    interval = bootstrap_interval((drawn @ sums) / (drawn @ cases), values.n_patients, settings.confidence)
    low, high = (float(end) for end in interval)
    verdict: Verdict = "no difference shown"
    if np.isnan(low):
        verdict = "can't be decided"
    elif low > 0:
        verdict = "gains"
    elif high < 0:
        verdict = "loses"
    return StructureChallenge(
        structure=values.structure,
        patients=values.n_patients,
        champion=float(values.of_model("champion").mean()),
        challenger=float(values.of_model("challenger").mean()),
        difference=float(differences.mean()),
        low=None if np.isnan(low) else low,
        high=None if np.isnan(high) else high,
        verdict=verdict,
    )


def _decide(verdicts: dict[Verdict, list[str]]) -> tuple[bool, str]:
    """Return whether the challenger is promoted, and why."""
    undecided, losses, gains = (verdicts.get(verdict, []) for verdict in ("can't be decided", "loses", "gains"))
    if undecided:
        return False, (
            f"Not promoted: fewer than {counted(FEWEST_PATIENTS, 'frozen test patient')} can be judged on "
            f"{enumeration(undecided)}, so a loss can't be excluded."
        )
    if losses:
        return False, f"Not promoted: the challenger loses on {enumeration(losses)}."
    if not gains:
        return False, "Not promoted: the challenger gains on no structure."
    return True, f"Promoted: the challenger gains on {enumeration(gains)} and loses on no structure."
