import math

import pytest

from gynbtnet.training.optimisation.schedule import scheduled_rate


def test_by_hand() -> None:
    rates = [scheduled_rate(step, 6, 0.8, warm_up=2) for step in range(6)]
    expected = [0.8 / 3, 1.6 / 3, 0.8, 0.4 * (1 + math.sqrt(0.5)), 0.4, 0.4 * (1 - math.sqrt(0.5))]
    assert rates == pytest.approx(expected)


def test_falls_from_the_highest_towards_zero() -> None:
    rates = [scheduled_rate(step, 1000, 1e-4) for step in range(1000)]
    assert rates[0] == 1e-4
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 1e-9


@pytest.mark.parametrize(("step", "steps", "warm_up"), [(5, 5, 0), (-1, 5, 0), (0, 5, 5)])
def test_outside_the_run_is_an_error(step: int, steps: int, warm_up: int) -> None:
    with pytest.raises(ValueError, match="is not within a budget"):
        scheduled_rate(step, steps, 1.0, warm_up)


@pytest.mark.parametrize(("epochs", "warm_up"), [(7, 0), (10, 3)])
def test_a_budget_in_seconds_has_the_rates_of_the_same_budget_in_steps(epochs: int, warm_up: int) -> None:
    for schedule in ("cosine", "poly"):
        for number in range(epochs):
            in_steps = scheduled_rate(number, epochs, 0.1, warm_up, schedule=schedule)
            in_seconds = scheduled_rate(2.5 * number, 2.5 * epochs, 0.1, 2.5 * warm_up, schedule=schedule, step=2.5)
            assert in_seconds == pytest.approx(in_steps)


def test_poly_is_that_of_nnunet() -> None:
    """``initial_lr * (1 - current_step / max_steps) ** exponent`` in its PolyLRScheduler."""
    rates = [scheduled_rate(step, 4, 0.01, schedule="poly") for step in range(4)]
    assert rates == pytest.approx([0.01 * (1 - step / 4) ** 0.9 for step in range(4)])
