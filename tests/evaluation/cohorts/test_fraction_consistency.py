"""Spread and drift over a patient's fractions, compared with results by hand and with numpy's line fit."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.evaluation.cohorts.fraction_consistency import (
    Centroids,
    centroids,
    fraction_consistency,
    reference_structure,
    slope,
)
from gynbtnet.evaluation.metrics.evaluation import Evaluation, evaluate
from gynbtnet.evaluation.metrics.metrics import MissingIn, Score
from gynbtnet.imaging import Geometry

CASES = tuple(
    Case(name[:2], int(name[-1]), name, (), None, Source(), Geometry((1, 1, 1)))
    for name in ("p1_f1", "p1_f2", "p1_f3", "p2_f1")
)
COHORT = Cohort("mini", ("bladder",), CASES, None, channels=())


def a_score(case: str, dsc: float, truth: float, prediction: float, missed: MissingIn = "none") -> Score:
    return Score(case, case[:2], "bladder", dsc, 1.0, 1.0, missed, truth, prediction, 1.0, 1.0, 0.0, 1.0)


def at(truth: tuple[float, ...], prediction: tuple[float, ...]) -> Centroids:
    return Centroids({"bladder": np.array(truth)}, {"bladder": np.array(prediction)})


def test_spread_and_drift():
    scores = (a_score("p1_f1", 0.9, 100, 90), a_score("p1_f2", 0.8, 110, 92), a_score("p1_f3", 0.7, 120, 94))
    positions = {
        "p1_f1": at((0, 0, 0), (1, 0, 0)),
        "p1_f2": at((0, 3, 4), (1, 3, 0)),
        "p1_f3": at((0, 6, 8), (1, 6, 0)),
    }
    table = fraction_consistency(COHORT, Evaluation((*scores, a_score("p2_f1", 0.5, 1, 1))), positions)
    assert len(table) == 1  # the second patient has one fraction
    assert table.loc[0].to_dict() == {
        "patient": "p1",
        "structure": "bladder",
        "fractions": 3,
        "missed": 0,
        "dsc_mean": pytest.approx(0.8),
        "dsc_sd": pytest.approx(0.1),
        "truth_cm3_drift": pytest.approx(10),
        "prediction_cm3_drift": pytest.approx(2),
        "truth_mm_drift": pytest.approx(5),  # (0, 3, 4) per fraction
        "prediction_mm_drift": pytest.approx(3),  # (0, 3, 0) per fraction
        "apart_mm_drift": pytest.approx(4),
    }


def test_a_missed_structure_counts_in_the_spread_and_not_in_the_drift():
    scores = (
        a_score("p1_f1", 0.9, 100, 90),
        a_score("p1_f2", 0.0, 110, 0, "prediction"),
        a_score("p1_f3", 0.9, 120, 94),
    )
    positions = {"p1_f1": at((0, 0, 0), (0, 0, 0)), "p1_f3": at((0, 0, 8), (0, 0, 8))}
    row = fraction_consistency(COHORT, Evaluation(scores), positions).loc[0]
    assert (row["fractions"], row["missed"]) == (3, 1)
    assert row["dsc_sd"] == pytest.approx(np.std([0.9, 0, 0.9], ddof=1))
    assert row["prediction_cm3_drift"] == pytest.approx(2)
    assert row["truth_mm_drift"] == pytest.approx(4)


def test_one_fraction_with_both_has_no_drift():
    scores = (a_score("p1_f1", 0.9, 100, 90), a_score("p1_f2", 0.0, 110, 0, "prediction"))
    row = fraction_consistency(COHORT, Evaluation(scores), {}).loc[0]
    assert np.isnan(row["truth_cm3_drift"])
    assert np.isnan(row["apart_mm_drift"])


@given(st.lists(st.tuples(st.integers(1, 6), st.floats(-100, 100)), min_size=2, max_size=8))
def test_a_slope_is_that_of_the_fitted_line(points):
    fractions, values = (list(column) for column in zip(*points, strict=True))
    assume(len(set(fractions)) > 1)
    expected = np.polynomial.Polynomial.fit(fractions, values, 1).convert(domain=[-1, 1])
    line = expected.coef[1] if len(expected.coef) > 1 else 0.0
    assert slope(fractions, np.array(values).reshape(-1, 1))[0] == pytest.approx(line, abs=1e-6)


def test_positions_are_relative_to_the_reference_structure_of_the_truth(scanned, predicted):
    positions = centroids(scanned, predicted)
    # The bladder, label 1, is the reference. Rectum: y 12–14, bladder: y 4–8, same x; all moved by 3 mm.
    truth, moved = positions["p1_f2"].truth, positions["p1_f2"].prediction
    assert truth["bladder"] == pytest.approx([0, 0, 0])
    assert truth["rectum"] == pytest.approx([0, 7 * 3, 0], abs=1e-6)
    assert moved["rectum"] == pytest.approx([3, 7 * 3, 0], abs=1e-6)
    assert reference_structure(("bladder", "hr_ctv")) == "hr_ctv"


def test_a_patient_whose_prediction_moves(scanned, predicted, tmp_path):
    table = fraction_consistency(scanned, evaluate(scanned, predicted, tmp_path / "out"), centroids(scanned, predicted))
    assert list(table["patient"]) == ["p1", "p1"]
    assert list(table["truth_mm_drift"]) == pytest.approx([0, 0], abs=1e-6)
    assert list(table["apart_mm_drift"]) == pytest.approx([3, 3])
    assert list(table["prediction_cm3_drift"]) == pytest.approx([0, 0])
