"""False-alarm rate of the control charts of ``gynbtnet monitor``, and the time until a change is found.

Each simulated year has its own baseline. Normal scores, averages and limits are computed by the functions of the
command. Three distributions: normal, skewed (gamma with shape 0.5), and counts of flags with many ties (Poisson with
mean 0.3). The limit is for one chart with an alarm in 5 % of the years without a change.

The last columns have a lasting change by one SD of normal values from the first week on. They are the share of years in
which it is found, and the median of the weeks until then.
"""

import argparse
from collections.abc import Callable

import numpy as np

from gynbtnet.monitoring import limit_multiple, moving_average, normal_scores

RATE, WEEKS, SMOOTHING = 0.05, 52, 0.2
DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda random, n: random.normal(size=n),
    "skewed": lambda random, n: random.gamma(0.5, 1, n),
    "flags": lambda random, n: random.poisson(0.3, n).astype(float),
}


def first_alarms(
    draw: Callable[[np.random.Generator, int], np.ndarray], baseline: int, reviews: int, years: int, shift: float = 0.0
) -> list[int]:
    """Return the week of the first alarm of each year, from 1; 0 without alarm."""
    random = np.random.default_rng([baseline, reviews])
    multiple = limit_multiple(baseline, reviews, WEEKS, SMOOTHING, RATE)
    weeks = []
    for _ in range(years):
        values = draw(random, WEEKS * reviews) + shift
        points = normal_scores(draw(random, baseline), values).reshape(WEEKS, reviews).mean(axis=1)
        alarms = moving_average(points, np.full(WEEKS, float(reviews)), baseline, SMOOTHING, multiple).alarms
        weeks.append(int(alarms.argmax()) + 1 if alarms.any() else 0)
    return weeks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=2000)
    years = parser.parse_args().years
    print("| baseline | reviews per week | " + " | ".join(DISTRIBUTIONS) + " | change found | after weeks |")
    print("|---:|---:|" + "---:|" * (len(DISTRIBUTIONS) + 2))
    for baseline, reviews in ((20, 1), (20, 4), (30, 1), (30, 4), (100, 4), (100, 10)):
        rates = [np.mean([week > 0 for week in first_alarms(draw, baseline, reviews, years)])
                 for draw in DISTRIBUTIONS.values()]  # fmt: skip
        changed = first_alarms(DISTRIBUTIONS["normal"], baseline, reviews, years // 4, shift=1.0)
        found = [week for week in changed if week]
        cells = [*(f"{rate:.1%}" for rate in rates), f"{len(found) / len(changed):.0%}", f"{np.median(found):.0f}"]
        print(f"| {baseline} | {reviews} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
