"""Scores and limits against formulae worked by hand, and the false-alarm rate of the whole procedure by simulation."""

import numpy as np
import pytest
from scipy import stats

from gynbtnet.monitoring import ewma
from gynbtnet.monitoring.ewma import limit_multiple, moving_average
from gynbtnet.monitoring.scores import normal_scores, score_variance


def test_scores_by_hand():
    baseline = np.array([3.0, 1.0, 2.0, 2.0])
    expected = stats.norm.ppf([0.5 / 5, 1.0 / 5, 2.5 / 5, 4.0 / 5, 4.5 / 5])
    assert normal_scores(baseline, np.array([0.0, 1.0, 2.0, 3.0, 4.0])) == pytest.approx(expected)


def test_variance_of_scores_is_that_of_random_values():
    random = np.random.default_rng(0)
    scores = [normal_scores(random.exponential(size=20), random.exponential(size=5)) for _ in range(2000)]
    assert np.var(scores) == pytest.approx(score_variance(20), rel=0.04)


def test_averages_and_limits_by_hand():
    """λ = ½, points 1 and 3 of 2 and 4 reviews, baseline of 20."""
    chart = moving_average(np.array([1.0, 3.0]), np.array([2.0, 4.0]), 20, 0.5, 3.0)
    assert chart.averages.tolist() == [0.5, 1.75]
    variances = [0.25 / 2 + 0.25 / 20, 0.0625 / 2 + 0.25 / 4 + 0.5625 / 20]
    assert chart.limits == pytest.approx(3 * np.sqrt(score_variance(20) * np.array(variances)))
    assert chart.alarms.tolist() == [False, True]


def test_few_reviews_widen_the_limits():
    """The half width of the limits after a year, relative to that of a baseline of 500."""
    widths = []
    for m in (20, 50, 500):
        chart = moving_average(np.zeros(52), np.full(52, 4.0), m, 0.2, limit_multiple(m, 4, 52, 0.2, 0.05))
        widths.append(chart.limits[-1])
    assert widths[0] > 1.1 * widths[1] > 1.1 * 1.1 * widths[2]


def test_the_multiple_of_an_exactly_known_process():
    """With a large baseline, λ = 1 and one review, it is the quantile of the largest of 12 normal values."""
    expected = stats.norm.ppf((1 + 0.95 ** (1 / 12)) / 2)
    assert limit_multiple(1000, 1, 12, 1.0, 0.05) == pytest.approx(expected, abs=0.05)


def false_alarm_rate(m: int, reviews: int, periods: int, rate: float, years: int, sample) -> float:
    """Return the share of years with an alarm, without any change."""
    multiple = limit_multiple(m, reviews, periods, 0.2, rate)
    alarms = 0
    for _ in range(years):
        scores = normal_scores(sample(m), sample(periods * reviews)).reshape(periods, reviews).mean(axis=1)
        alarms += int(moving_average(scores, np.full(periods, float(reviews)), m, 0.2, multiple).alarms.any())
    return alarms / years


@pytest.mark.parametrize("kind", ["normal", "skewed", "many zeros"])
def test_the_false_alarm_rate_is_as_stated(kind):
    """600 years of 12 months with 4 reviews: 10 % are expected, with a standard error of 1.2 %; ties only lower it."""
    random = np.random.default_rng(3)
    sample = {
        "normal": lambda n: random.normal(size=n),
        "skewed": lambda n: random.lognormal(0, 1, n),
        "many zeros": lambda n: np.maximum(random.normal(-0.5, 1, n), 0),
    }[kind]
    rate = false_alarm_rate(30, 4, 12, 0.1, 600, sample)
    assert rate <= 0.14
    assert kind == "many zeros" or rate >= 0.06


@pytest.mark.slow
def test_the_false_alarm_rate_with_all_years(monkeypatch):
    """3,000 years of 52 weeks with 4 reviews: 5 % are expected, with a standard error of 0.4 %."""
    few = limit_multiple(30, 4, 52, 0.2, 0.05)
    monkeypatch.setattr(ewma, "YEARS", 100_000)
    limit_multiple.cache_clear()
    random = np.random.default_rng(6)
    assert 0.033 <= false_alarm_rate(30, 4, 52, 0.05, 3000, lambda n: random.normal(size=n)) <= 0.062
    assert limit_multiple(30, 4, 52, 0.2, 0.05) == pytest.approx(few, rel=0.03)
    limit_multiple.cache_clear()


def test_a_lasting_change_is_found():
    random = np.random.default_rng(4)
    multiple = limit_multiple(30, 4, 52, 0.2, 0.05 / 27)
    found = []
    for _ in range(50):
        baseline, values = random.normal(size=30), random.normal(1.0, 1, (26, 4))
        points = normal_scores(baseline, values.ravel()).reshape(26, 4).mean(axis=1)
        found.append(moving_average(points, np.full(26, 4.0), 30, 0.2, multiple).alarms.any())
    assert np.mean(found) > 0.6
