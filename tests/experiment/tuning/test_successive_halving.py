"""Successive halving against an independent computation over explicit sets, and its invariants."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gynbtnet.experiment.tuning.successive_halving import Rung, ScoredTrial, plan_rungs, ranking, successive_halving

SCORES = st.floats(0, 1) | st.sampled_from([0.0, 0.5, math.nan])
TABLES = st.integers(1, 40).flatmap(
    lambda number: st.lists(st.lists(SCORES, min_size=4, max_size=4), min_size=number, max_size=number)
)
BUDGETS = st.floats(1e-3, 1e7)


def brute_force(table: list[list[float]]) -> list[set[int]]:
    """Return the candidates of each rung: those that fewer than a third of the rung's candidates beat."""
    rungs = [set(range(len(table)))]
    while len(rungs[-1]) // 3 > 1:
        before, scores = rungs[-1], [row[len(rungs) - 1] for row in table]

        def beats(one: int, other: int, scores: list[float] = scores) -> bool:
            if math.isnan(scores[one]) or math.isnan(scores[other]):
                return math.isnan(scores[other]) and (not math.isnan(scores[one]) or one < other)
            return scores[one] > scores[other] or (scores[one] == scores[other] and one < other)

        rungs.append({one for one in before if sum(beats(other, one) for other in before) < len(before) // 3})
    return rungs


@given(TABLES, BUDGETS)
def test_each_rung_has_the_candidates_that_few_others_beat(table: list[list[float]], budget: float) -> None:
    trials = successive_halving(len(table), budget, lambda candidate, rung: table[candidate][rung.number])
    expected = brute_force(table)
    assert [(t.rung.number, t.candidate) for t in trials] == [
        (number, candidate) for number, rung in enumerate(expected) for candidate in sorted(rung)
    ]


@given(st.integers(1, 500), BUDGETS)
def test_the_budget_is_used_up_and_grows_by_three(candidates: int, budget: float) -> None:
    rungs = plan_rungs(candidates, budget)
    assert math.isclose(sum(rung.candidates * rung.budget for rung in rungs), budget)
    assert rungs[0].candidates == candidates
    for before, after in pairwise(rungs):
        assert after.candidates == before.candidates // 3 >= 2
        assert math.isclose(after.budget, 3 * before.budget)
    assert candidates < 6 or rungs[-1].candidates in (2, 3, 4, 5)


@given(TABLES, BUDGETS)
def test_the_winner_was_best_of_the_last_rung(table: list[list[float]], budget: float) -> None:
    trials = successive_halving(len(table), budget, lambda candidate, rung: table[candidate][rung.number])
    order = ranking(trials)
    assert sorted(order) == list(range(len(table)))
    last = [trial for trial in trials if trial.rung == trials[-1].rung]
    finite = [trial.score for trial in last if not math.isnan(trial.score)]
    winner = next(trial for trial in last if trial.candidate == order[0])
    assert winner.score == max(finite) if finite else math.isnan(winner.score)
    reached = [max(trial.rung.number for trial in trials if trial.candidate == candidate) for candidate in order]
    assert reached == sorted(reached, reverse=True)


@given(st.integers(1, 60), BUDGETS)
def test_a_candidate_that_is_always_best_wins(candidates: int, budget: float) -> None:
    best = candidates // 2
    trials = successive_halving(candidates, budget, lambda candidate, _: float(candidate == best))
    assert ranking(trials)[0] == best


def test_nine_candidates_by_hand() -> None:
    scores = {0: [0.5, 0.5, 0.4, 0.1, math.nan, 0.7, 0.2, 0.3, 0.0], 1: [0.6, 0.6, 0, 0, 0, 0.1, 0, 0, 0]}
    trials = successive_halving(9, 900, lambda candidate, rung: scores[rung.number][candidate])
    first, second = Rung(0, 9, 50.0), Rung(1, 3, 150.0)
    assert trials[:9] == tuple(ScoredTrial(first, i, scores[0][i]) for i in range(9))
    assert trials[9:] == tuple(ScoredTrial(second, i, scores[1][i]) for i in (0, 1, 5))
    assert ranking(trials) == (0, 1, 5, 2, 7, 6, 3, 8, 4)


@pytest.mark.parametrize(("candidates", "budget"), [(0, 1.0), (3, 0.0), (3, -1.0), (3, math.inf), (3, math.nan)])
def test_impossible_numbers_are_refused(candidates: int, budget: float) -> None:
    with pytest.raises(ValueError, match="expected a candidate and a positive budget"):
        plan_rungs(candidates, budget)
