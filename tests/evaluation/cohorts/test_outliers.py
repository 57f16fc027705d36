from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.evaluation.cohorts.outliers import find_outliers, robust_scores
from gynbtnet.imaging import Geometry


def cohort_of(volumes: list[float], spacing: float = 3.0) -> Cohort:
    grid = Geometry((4, 4, 4), (spacing, 1.0, 1.0))
    cases = tuple(
        Case(f"p{i}", 1, f"p{i}_f1", (Path(f"{i}"),), None, Source(), grid, {"bladder": volume})
        for i, volume in enumerate(volumes)
    )
    return Cohort("test", ("bladder", "rectum"), cases, Path("nowhere"))


def test_the_rule_by_hand() -> None:
    """Score the logarithms −2, −1, 0, 1, 2, 9: their median is 0.5, and that of |x − 0.5| is 1.5."""
    scores = robust_scores(np.exp([-2.0, -1.0, 0.0, 1.0, 2.0, 9.0]))
    np.testing.assert_allclose(scores, 0.6745 * np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 8.5]) / 1.5)


@given(st.lists(st.floats(0.01, 1e4), min_size=0, max_size=30), st.floats(0.01, 100))
def test_units_do_not_matter(values: list[float], factor: float) -> None:
    np.testing.assert_allclose(
        robust_scores(factor * np.array(values)), robust_scores(np.array(values)), rtol=1e-5, atol=1e-5
    )


def test_a_small_volume_is_an_outlier() -> None:
    (outlier,) = find_outliers(cohort_of([100, 110, 90, 105, 95, 5]))
    assert (outlier.case_id, outlier.structure, outlier.value) == ("p5_f1", "bladder", 5)
    assert outlier.label() == "volume of Bladder (cm³)"
    assert outlier.median == pytest.approx(97.5)
    assert outlier.score < -3.5


def test_one_among_equals_is_an_outlier_and_nearly_equals_are_not() -> None:
    cohort = cohort_of([100.0] * 8)
    thick = replace(cohort.cases[3], geometry=Geometry((4, 4, 4), (5.0, 1.0, 1.0)))
    outliers = find_outliers(replace(cohort, cases=(*cohort.cases[:3], thick, *cohort.cases[4:])))
    assert [(outlier.case_id, outlier.label()) for outlier in outliers] == [("p3_f1", "slice spacing (mm)")]
    assert find_outliers(cohort_of([100.0] * 7 + [103.0])) == ()


def test_few_values_and_absent_structures_are_never_outliers() -> None:
    assert find_outliers(cohort_of([1, 1, 1, 1000])) == ()
    assert find_outliers(cohort_of([100, 110, 90, 105, 95, 0])) == ()
    assert find_outliers(cohort_of([])) == ()
