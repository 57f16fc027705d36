"""Successive halving: choose one of several candidates by trials whose budgets grow while the candidates get fewer.

Karnin Z, Koren T, Somekh O. Almost optimal exploration in multi-armed bandits. ICML 2013, PMLR 28(3):1238-1246.
Jamieson K, Talwalkar A. Non-stochastic best arm identification and hyperparameter optimization. AISTATS 2016, PMLR
51:240-248. The factor of 3 is that of Hyperband: Li L et al. JMLR 2018;18(185):1-52.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FACTOR = 3
"""A rung keeps one third of its candidates and gives each of them three times the budget."""


@dataclass(frozen=True)
class Rung:
    """A round in which all candidates that are left have a trial with the same budget.

    Attributes:
        number: number of the rung, from 0.
        candidates: number of candidates that have a trial.
        budget: budget of each trial.
    """

    number: int
    candidates: int
    budget: float


@dataclass(frozen=True)
class ScoredTrial:
    """A trial of a candidate and its score.

    Attributes:
        rung: the rung.
        candidate: index of the candidate.
        score: its score, higher is better.
    """

    rung: Rung
    candidate: int
    score: float


def plan_rungs(candidates: int, total_budget: float) -> tuple[Rung, ...]:
    """Distribute a total budget over rungs.

    Each rung has a third as many candidates as the one before, rounded down, and at least one. Budgets of its trials
    are three times as large. The last rung is the one from which a single candidate is selected. A rung with one
    candidate would select nothing and is omitted, except if there is only one candidate at all.

    Args:
        candidates: number of candidates in the first rung, at least one.
        total_budget: budget of all trials together, above 0.

    Returns:
        The rungs in their order. The budgets of all trials add up to ``total_budget``.

    Raises:
        ValueError: If there is no candidate, or the budget is not a positive number.

    Example:
        >>> [(rung.candidates, rung.budget) for rung in plan_rungs(9, 900)]
        [(9, 50.0), (3, 150.0)]
    """
    if candidates < 1 or not 0 < total_budget < math.inf:
        raise ValueError(f"expected a candidate and a positive budget, not {candidates} and {total_budget}")
    counts = [candidates]
    while counts[-1] >= 2 * FACTOR:
        counts.append(counts[-1] // FACTOR)
    shares = [count * FACTOR**number for number, count in enumerate(counts)]
    return tuple(
        Rung(number, count, total_budget * FACTOR**number / sum(shares)) for number, count in enumerate(counts)
    )


def successive_halving(
    candidates: int, total_budget: float, run_trial: Callable[[int, Rung], float]
) -> tuple[ScoredTrial, ...]:
    """Run the trials of all rungs; the best candidates of a rung advance to the next.

    If two candidates have the same score, the one with the lower index is better. A score that is NaN is the worst.

    Args:
        candidates: number of candidates.
        total_budget: budget of all trials together.
        run_trial: function that returns the score of a candidate, by its index, in a rung.

    Returns:
        The trials in the order in which they were run: rung by rung, by index of the candidate.

    Raises:
        ValueError: If :func:`plan_rungs` refuses the numbers.

    Example:
        >>> trials = successive_halving(6, 100, lambda candidate, rung: -abs(candidate - 4))
        >>> [trial.candidate for trial in trials], ranking(trials)
        ([0, 1, 2, 3, 4, 5, 3, 4], (4, 3, 5, 2, 1, 0))
    """
    remaining = list(range(candidates))
    trials: list[ScoredTrial] = []
    for rung in plan_rungs(candidates, total_budget):
        remaining = sorted(best_first(trials[-len(remaining) :])[: rung.candidates]) if trials else remaining
        trials += [ScoredTrial(rung, candidate, run_trial(candidate, rung)) for candidate in remaining]
    return tuple(trials)


def best_first(trials: Sequence[ScoredTrial]) -> list[int]:
    """Return the candidates of one rung, the best first."""
    scores = {trial.candidate: -math.inf if math.isnan(trial.score) else trial.score for trial in trials}
    return sorted(scores, key=lambda candidate: (-scores[candidate], candidate))


def ranking(trials: Sequence[ScoredTrial]) -> tuple[int, ...]:
    """Return all candidates, the best first: by the last rung that each reached, then by its score there.

    Args:
        trials: the result of :func:`successive_halving`.
    """
    last = {trial.candidate: trial for trial in trials}
    rungs = sorted({trial.rung.number for trial in last.values()}, reverse=True)
    return tuple(
        candidate
        for number in rungs
        for candidate in best_first([trial for trial in last.values() if trial.rung.number == number])
    )
