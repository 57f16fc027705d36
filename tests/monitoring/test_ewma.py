"""Scores and limits against formulae worked by hand, and the false-alarm rate of the whole procedure by simulation."""

import numpy as np
import pytest
from scipy import stats

from gynbtnet.monitoring import ewma
from gynbtnet.monitoring.ewma import limit_multiple, moving_average
from gynbtnet.monitoring.scores import normal_scores, patient_scores, score_variance


def test_scores_by_hand():
    baseline = np.array([3.0, 1.0, 2.0, 2.0])
    expected = stats.norm.ppf([0.5 / 5, 1.0 / 5, 2.5 / 5, 4.0 / 5, 4.5 / 5])
    assert normal_scores(baseline, np.array([0.0, 1.0, 2.0, 3.0, 4.0])) == pytest.approx(expected)


def test_scores_of_patients_by_hand():
    """Until the course is over, one review is ranked among first ones, and counts by half, since two are usual."""
    baseline = np.array([[1.0, 3.0], [2.0, 8.0], [4.0, np.nan]])
    later = np.array([[1.5, np.nan, np.nan], [1.0, 8.0, np.nan], [3.0, 3.0, 6.0]])
    ranks = [1.5, 2.5, 2.0]  # of 4: 1.5 among 1, 2, 4; 4.5 and 4 among 2, 5, 4, of which one is equal
    expected = stats.norm.ppf(np.array(ranks) / 4) * [0.5, 1, 1]
    assert patient_scores(baseline, later, np.zeros(3, bool)) == pytest.approx(expected)
    expected[0] = stats.norm.ppf(0.5 / 4)  # below 2, 5 and 4
    assert patient_scores(baseline, later, np.array([True, False, True])) == pytest.approx(expected)


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
        chart = moving_average(np.zeros(52), np.full(52, 4.0), m, 0.2, limit_multiple(m, 52, 0.2, 0.05))
        widths.append(chart.limits[-1])
    assert widths[0] > 1.1 * widths[1] > 1.1 * 1.1 * widths[2]


def test_the_multiple_of_an_exactly_known_process():
    """With a large baseline and λ = 1, it is the quantile of the largest of 12 normal values."""
    expected = stats.norm.ppf((1 + 0.95 ** (1 / 12)) / 2)
    assert limit_multiple(1000, 12, 1.0, 0.05) == pytest.approx(expected, abs=0.05)


def normal_reviews(random, patients: int, correlation: float) -> np.ndarray:
    """Return values of four reviews of each patient."""
    own = random.normal(size=(patients, 1)) * correlation**0.5
    return own + random.normal(size=(patients, 4)) * (1 - correlation) ** 0.5


def false_alarm_rate(m: int, patients: int, periods: int, rate: float, years: int, sample) -> float:
    """Return the share of years with an alarm, without any change."""
    multiple = limit_multiple(m, periods, 0.2, rate)
    alarms = 0
    for _ in range(years):
        values = sample(m + periods * patients)
        scores = (
            patient_scores(values[:m], values[m:], np.ones(periods * patients, bool))
            .reshape(periods, patients)
            .mean(axis=1)
        )
        alarms += int(moving_average(scores, np.full(periods, float(patients)), m, 0.2, multiple).alarms.any())
    return alarms / years


@pytest.mark.parametrize(
    ("kind", "correlation"), [("normal", 0), ("normal", 0.3), ("normal", 0.6), ("skewed", 0.3), ("many zeros", 0.3)]
)
def test_the_false_alarm_rate_is_at_most_as_stated(kind, correlation):
    """600 years of 12 months with 2 patients: at most 10 %, with a standard error of 1.2 %; ties only lower it."""
    random = np.random.default_rng(3)
    transforms = {"normal": lambda x: x, "skewed": lambda x: np.exp(x), "many zeros": lambda x: np.maximum(x - 0.5, 0)}
    transform = transforms[kind]
    rate = false_alarm_rate(30, 2, 12, 0.1, 600, lambda n: transform(normal_reviews(random, n, correlation)))
    assert rate <= 0.14
    assert kind == "many zeros" or rate >= 0.05


def test_courses_that_are_not_over_raise_no_more_alarms():
    """A year with a look after each month, and a review per month: the scores at each look are those of that day."""
    random, multiple = np.random.default_rng(5), limit_multiple(100, 12, 0.2, 0.1)
    looks = 0
    for _ in range(200):
        values = normal_reviews(random, 112, 0)
        scores = [patient_scores(values[:100], values[100:, :number], np.zeros(12, bool)) for number in (1, 2, 3, 4)]
        alarm = False
        for look in range(1, 13):
            points = np.array([scores[min(look - first, 4) - 1][first] for first in range(look)])
            alarm |= bool(moving_average(points, np.ones(look), 100, 0.2, multiple).alarms.any())
        looks += alarm
    assert looks / 200 <= 0.14


@pytest.mark.slow
def test_the_false_alarm_rate_with_all_years(monkeypatch):
    """3,000 years of 52 weeks with one patient: at most 5 % are expected, with a standard error of 0.4 %."""
    few = limit_multiple(100, 52, 0.2, 0.05)
    monkeypatch.setattr(ewma, "YEARS", 100_000)
    limit_multiple.cache_clear()
    random = np.random.default_rng(6)
    rate = false_alarm_rate(100, 1, 52, 0.05, 3000, lambda n: normal_reviews(random, n, 0.3))
    assert 0.03 <= rate <= 0.06
    assert limit_multiple(100, 52, 0.2, 0.05) == pytest.approx(few, rel=0.03)
    limit_multiple.cache_clear()


def test_a_lasting_change_is_found():
    random = np.random.default_rng(4)
    multiple = limit_multiple(30, 52, 0.2, 0.05 / 27)
    found = []
    for _ in range(50):
        baseline, later = normal_reviews(random, 30, 0), normal_reviews(random, 26, 0) + 1
        points = patient_scores(baseline, later, np.ones(26, bool))
        found.append(moving_average(points, np.ones(26), 30, 0.2, multiple).alarms.any())
    assert np.mean(found) > 0.6
