import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.evaluation.calibration.auroc import auroc, auroc_with_interval


def test_by_hand() -> None:
    """Bad contours 3 and 2, good contours 2 and 1: of four pairs, three are right and one is tied."""
    assert auroc(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False])) == 3.5 / 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_equal_to_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    suspicion, bad = np.array([float(x) for x, _ in pairs]), np.array([y for _, y in pairs])
    if bad.all() or not bad.any():
        assert math.isnan(auroc(suspicion, bad))
    else:
        assert auroc(suspicion, bad) == pytest.approx(metrics.roc_auc_score(bad, suspicion))


def test_bad_is_below_the_limit() -> None:
    area = auroc_with_interval([0.1, 0.2, 0.9], [0.9, 0.7, 0.69], ["a", "b", "c"], limit=0.7)
    assert (area.auroc, area.n_bad, area.n_contours, area.n_patients) == (1.0, 1, 3, 3)


def test_without_bad_contours_there_is_no_auroc() -> None:
    area = auroc_with_interval([0.1, 0.2], [0.9, 0.8], ["a", "b"], limit=0.7)
    assert all(math.isnan(value) for value in (area.auroc, area.low, area.high))


def test_one_patient_has_no_interval() -> None:
    area = auroc_with_interval([0.1, 0.2, 0.9], [0.9, 0.7, 0.69], ["a", "a", "a"], limit=0.7)
    assert area.auroc == 1
    assert math.isnan(area.low)
    assert math.isnan(area.high)


def test_fractions_of_the_same_patients_make_the_interval_no_narrower() -> None:
    random = np.random.default_rng(3)
    dsc, noise = random.uniform(0.5, 0.9, 30), random.normal(0, 0.15, 30)
    once = auroc_with_interval(list(-dsc + noise), list(dsc), [f"p{n}" for n in range(30)], limit=0.7)
    often = auroc_with_interval(
        list(np.repeat(-dsc + noise, 4)),
        list(np.repeat(dsc, 4)),
        [f"p{n}" for n in np.repeat(np.arange(30), 4)],
        limit=0.7,
    )
    assert often.auroc == pytest.approx(once.auroc)
    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=0.02)
