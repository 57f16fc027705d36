import math

import pytest

from gynbtnet.training.schedule import cosine_with_warm_up


def test_by_hand() -> None:
    rates = [cosine_with_warm_up(step, 6, 0.8, warm_up=2) for step in range(6)]
    expected = [0.8 / 3, 1.6 / 3, 0.8, 0.4 * (1 + math.sqrt(0.5)), 0.4, 0.4 * (1 - math.sqrt(0.5))]
    assert rates == pytest.approx(expected)


def test_falls_from_the_highest_towards_zero() -> None:
    rates = [cosine_with_warm_up(step, 1000, 1e-4) for step in range(1000)]
    assert rates[0] == 1e-4
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 1e-9


@pytest.mark.parametrize(("step", "steps", "warm_up"), [(5, 5, 0), (-1, 5, 0), (0, 5, 5)])
def test_outside_the_run_is_an_error(step: int, steps: int, warm_up: int) -> None:
    with pytest.raises(ValueError, match="is not within"):
        cosine_with_warm_up(step, steps, 1.0, warm_up)
