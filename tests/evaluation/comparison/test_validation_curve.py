"""Gain of a validation curve in its last tenth."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gynbtnet.evaluation.comparison.validation_curve import (
    FLAT_GAIN,
    describe_gain,
    final_gain,
    read_validation_curve,
    why_unmarked,
)

SCORES = st.floats(0, 1, allow_nan=False)


@given(slope=st.floats(-1, 1), steps=st.integers(10, 10_000), validations=st.integers(2, 30))
def test_a_straight_line_gains_a_tenth_of_its_rise(slope: float, steps: int, validations: int) -> None:
    curve = [(steps * i / validations, slope * i / validations) for i in range(validations + 1)]
    assert final_gain([curve]) == pytest.approx(slope / 10)


@given(curve=st.lists(SCORES, min_size=11, max_size=40))
def test_only_the_last_tenth_counts(curve: list[float]) -> None:
    """With ten validations on a regular grid, the gain is the difference of the last two."""
    points = [(10.0 * i, score) for i, score in enumerate(curve[-10:], start=1)]
    assert final_gain([points]) == pytest.approx(curve[-1] - curve[-2])


def test_folds_are_averaged_and_each_must_be_known() -> None:
    rising, flat = [(90.0, 0.50), (100.0, 0.56)], [(90.0, 0.70), (100.0, 0.70)]
    assert final_gain([rising, flat]) == pytest.approx(0.03)
    assert final_gain([rising, []]) is None
    assert final_gain([]) is None
    assert final_gain([[(95.0, 0.5), (100.0, 0.6)]]) is None, "the curve begins within the last tenth"
    assert final_gain([[(100.0, 0.6)]]) is None
    assert final_gain([[*rising, (110.0, math.nan)]]) == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("gain", "shown", "reason"),
    [
        (FLAT_GAIN, "+0.010, not flat", "still improving, +0.010"),
        (0.0094, "+0.009, flat", ""),
        (-0.2, "-0.200, flat", ""),
        (None, "unknown", "validation curve unknown"),
    ],
)
def test_marks_need_a_curve_known_to_be_flat(gain: float | None, shown: str, reason: str) -> None:
    assert (describe_gain(gain), why_unmarked(gain)) == (shown, reason)


def test_epochs_without_validation_are_skipped(tmp_path: Path) -> None:
    assert read_validation_curve(tmp_path) == []
    (tmp_path / "log.csv").write_text("epoch,step,loss,dice_mean\n1,10,0.9,\n2,20,0.8,0.25\n3,30,0.7,nan\n")
    (_, score), (last, missing) = read_validation_curve(tmp_path)
    assert (score, last) == (0.25, 30)
    assert math.isnan(missing)
    (tmp_path / "log.csv").write_text("epoch,step,pseudo_dice\n1,4,0.5\n")
    assert read_validation_curve(tmp_path) == [(4, 0.5)], "nnU-Net's log"
    (tmp_path / "log.csv").write_text("epoch,step,loss\n1,10,0.9\n")
    assert read_validation_curve(tmp_path) == []
