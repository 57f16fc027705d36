"""False-alarm rate of the control charts of ``gynbtnet monitor``, and the time until a change is found.

Each simulated year has its own baseline. Normal scores, averages and limits are computed by the functions of the
command. The charts are made again after each week, as by a weekly job, and an alarm in any of the weeks counts. A
patient has four reviews, or from the first to the second number of ``--reviews``. They are a week apart, or with
``--same-week`` all in one week. Reviews of one patient have a correlation, as normal values.

Three distributions: normal, skewed (gamma with shape 0.5), and counts of flags with many ties (Poisson with mean 0.3).
Their limit is for one chart with an alarm in 5 % of the years without a change. The next column has the normal values
with the limit of one of 27 charts, 0.19 %.

The last columns have a lasting change by one SD of a review from the first week on, with the limit of one of 27. They
are the share of years in which it is found, and the median of the weeks until then.
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy import stats

from gynbtnet.monitoring import COURSE_GAP_DAYS, limit_multiple, moving_average, patient_scores

RATE, CHARTS, WEEKS, SMOOTHING = 0.05, 27, 52, 0.2
DISTRIBUTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "normal": lambda normal: normal,
    "skewed": lambda normal: stats.gamma.ppf(stats.norm.cdf(normal), 0.5),
    "flags": lambda normal: stats.poisson.ppf(stats.norm.cdf(normal), 0.3),
}


def draw_patients(
    random: np.random.Generator, patients: int, correlation: float, reviews: tuple[int, int]
) -> np.ndarray:
    """Return normal values of the reviews of patients, NaN after the last, (patients, most reviews)."""
    fewest, most = reviews
    own = random.standard_normal((patients, 1)) * correlation**0.5
    values = own + random.standard_normal((patients, most)) * (1 - correlation) ** 0.5
    if fewest < most:
        values[np.arange(most) >= random.integers(fewest, most + 1, patients)[:, None]] = np.nan
    return values


def first_alarms(baseline: np.ndarray, later: np.ndarray, per_week: int, gap: int, multiples: list[float]) -> list[int]:
    """Return the week in which the charts first have an alarm, from 1, for each limit; 0 without alarm.

    Args:
        baseline: values of the patients of the baseline, (patients, most reviews).
        later: those of later patients, (WEEKS * per_week, most reviews).
        per_week: new patients per week.
        gap: weeks between two reviews of a patient.
        multiples: limits in standard deviations.
    """
    week_of = gap * np.arange(later.shape[1])
    last = gap * (np.isfinite(later).sum(axis=1) - 1)
    ages = range(week_of[-1] + COURSE_GAP_DAYS // 7 + 2)
    scores = np.array([
        patient_scores(baseline, np.where(week_of <= age, later, np.nan), 7 * (age - last) > COURSE_GAP_DAYS)
        .reshape(WEEKS, per_week).mean(axis=1)
        for age in ages
    ])  # fmt: skip
    first, look = np.arange(WEEKS), np.arange(WEEKS)[:, None]
    points = scores[np.clip(look - first, 0, ages[-1]), first]  # one row per look; those of the future don't count
    chart = moving_average(points, np.full(WEEKS, float(per_week)), len(baseline), SMOOTHING, 1.0)
    highest = np.where(first <= look, np.abs(chart.averages) / chart.limits, 0).max(axis=1)
    return [int(np.argmax(highest > multiple)) + 1 if highest.max() > multiple else 0 for multiple in multiples]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=2000)
    parser.add_argument("--same-week", action="store_true")
    parser.add_argument("--reviews", type=int, nargs=2, default=(4, 4), metavar=("FEWEST", "MOST"))
    arguments = parser.parse_args()
    gap = int(not arguments.same_week)
    names = [*DISTRIBUTIONS, f"one of {CHARTS} charts", "change found", "after weeks"]
    print("| baseline | patients per week | correlation | " + " | ".join(names) + " |")
    print("|---:" * (3 + len(names)) + "|")
    for size, per_week in ((20, 1), (30, 1), (30, 4), (100, 1), (100, 4)):
        multiples = [limit_multiple(size, WEEKS, SMOOTHING, rate) for rate in (RATE, RATE / CHARTS)]
        for correlation in (0.0, 0.3, 0.6):
            random = np.random.default_rng([size, per_week, round(10 * correlation)])
            alarms, changed = {name: [] for name in DISTRIBUTIONS}, []
            for year in range(arguments.years):
                values = draw_patients(random, size + WEEKS * per_week, correlation, arguments.reviews)
                for name, transform in DISTRIBUTIONS.items():
                    own = transform(values)
                    alarms[name].append(first_alarms(own[:size], own[size:], per_week, gap, multiples))
                if year % 4 == 0:
                    changed.append(first_alarms(values[:size], values[size:] + 1, per_week, gap, multiples)[1])
            rates = [np.mean([week > 0 for week, _ in own]) for own in alarms.values()]
            low = np.mean([week > 0 for _, week in alarms["normal"]])
            found = [week for week in changed if week]
            cells = [*(f"{rate:.1%}" for rate in rates), f"{low:.2%}", f"{len(found) / len(changed):.0%}"]
            cells.append(f"{np.median(found):.0f}" if found else "–")
            print(f"| {size} | {per_week} | {correlation} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
