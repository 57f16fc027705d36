"""End of a validation curve: whether a model still improved when its training ended."""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from gynbtnet.training.run_folder import RunFolder

FLAT_GAIN = 0.01
"""Gain of the mean Dice over the last tenth of a run from which the run counts as unfinished."""
_LAST_SHARE = 0.1
_SCORES = ("dice_mean", "pseudo_dice")
"""Columns of the mean Dice on validation patches: ours, and nnU-Net's."""


def final_gain(curves: Iterable[Sequence[tuple[float, float]]]) -> float | None:
    """Return how much the validation score gained over the last tenth of the steps.

    The score 90 % of the way is interpolated linearly between its two neighbours. The gains of several folds
    are averaged, since a curve of a few validation patches is noisy.

    Args:
        curves: (step, score) of each validation, in order, one curve per fold. Scores that are NaN are skipped.

    Returns:
        The gain; negative if the score fell. None if a curve doesn't reach from 90 % of its steps to their end, or
        there is no curve.

    Example:
        >>> final_gain([[(50, 0.60), (80, 0.70), (100, 0.74)]])
        0.020000000000000018
    """
    gains = [_gain(curve) for curve in curves]
    known = [gain for gain in gains if gain is not None]
    return sum(known) / len(known) if known and len(known) == len(gains) else None


def _gain(curve: Sequence[tuple[float, float]]) -> float | None:
    points = [(step, score) for step, score in curve if not math.isnan(score)]
    if not points:
        return None
    end, last = points[-1]
    start = (1 - _LAST_SHARE) * end
    before = [point for point in points if point[0] <= start]
    if not before:
        return None
    (left, left_score), (right, right_score) = before[-1], points[len(before)]
    return last - (left_score + (right_score - left_score) * (start - left) / (right - left))


def read_validation_curve(run: Path) -> list[tuple[float, float]]:
    """Return step and mean Dice of each validation in the log of a run, of our networks or of nnU-Net.

    Args:
        run: run folder; without a log, or with a log that has no mean Dice, the curve is empty.
    """
    path = RunFolder(run).log
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = [(row.get("step"), next((row[name] for name in _SCORES if row.get(name)), None)) for row in rows]
    return [(float(step), float(score)) for step, score in scores if step and score]


def describe_gain(gain: float | None) -> str:
    """Return the gain over the last tenth of a training as the table of the trainings shows it.

    Args:
        gain: see :func:`final_gain`.
    """
    if gain is None:
        return "unknown"
    return f"{gain:+.3f}, {'flat' if _is_flat(gain) else 'not flat'}"


def why_unmarked(gain: float | None) -> str:
    """Return the reason why a model carries no significance mark; empty if its validation curve has flattened.

    Args:
        gain: see :func:`final_gain`.
    """
    if gain is None:
        return "validation curve unknown"
    return "" if _is_flat(gain) else f"still improving, {gain:+.3f}"


def _is_flat(gain: float) -> bool:
    """Return whether a gain, as printed, is below the limit."""
    return round(gain, 3) < FLAT_GAIN
