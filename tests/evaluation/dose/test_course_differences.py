"""Differences of total doses over patients."""

import math

import numpy as np
import pytest

from gynbtnet.evaluation.dose.course import CourseDose
from gynbtnet.evaluation.dose.course_differences import course_differences, difference_cells


def course(patient: str, manual: float, automatic: float, structure: str = "bladder") -> CourseDose:
    totals = (3, 4, 43.2, manual, automatic, automatic - manual)
    return CourseDose(patient, structure, "D2cc", *totals, "< 80", "< 90", "aim met", "aim met")


def test_means_and_limits_over_patients() -> None:
    manual, automatic = [70.0, 75.0, 80.0, 66.0], [72.0, 74.0, 83.0, 65.0]
    courses = [course(f"p{i}", *pair) for i, pair in enumerate(zip(manual, automatic, strict=True))]
    courses.append(course("p9", math.nan, 70.0))
    (row,) = course_differences(courses).to_dict("records")
    differences = np.subtract(automatic, manual)
    assert (row["patients"], row["left_out"]) == (4, 1)
    assert row["difference_mean"] == pytest.approx(differences.mean())
    assert row["difference_sd"] == pytest.approx(differences.std(ddof=1))
    assert row["manual_mean"] == pytest.approx(np.mean(manual))
    assert row["lower"] == pytest.approx(differences.mean() - 1.959964 * differences.std(ddof=1))
    heads, rows = difference_cells(course_differences(courses))
    assert rows == [["Bladder", "D2cc", "4", "1", "72.8 ± 6.1", "73.5 ± 7.4", "0.8 ± 2.1", "-3.3 to 4.8"]]
    assert len(heads) == len(rows[0])


def test_structures_without_a_complete_course_have_no_figures() -> None:
    differences = course_differences([course("p1", math.nan, 70.0), course("p1", 60.0, 61.0, "rectum")])
    assert differences["patients"].tolist() == [0, 1]
    assert difference_cells(differences)[1] == [
        ["Bladder", "D2cc", "0", "1", "–", "–", "–", "–"],
        ["Rectum", "D2cc", "1", "0", "60.0", "61.0", "1.0", "–"],
    ]
