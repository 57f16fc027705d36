"""Volume, mean dose, D5cc, V100, V150 and V200 by hand."""

import math

import numpy as np
import pytest

from gynbtnet.datasets import Case, Source
from gynbtnet.evaluation.dose.dvh import DoseVolumeHistogram
from gynbtnet.evaluation.dose.plan_metrics import PlanMetric, plan_metric_cells, plan_metrics
from gynbtnet.imaging import Geometry, StructureNames

NAMES = StructureNames.load()
CASE = Case("p1", 1, "p1_f1", (), None, Source(), Geometry((1, 1, 1)))


def histogram(doses: list[float], outside: float = 0.0, face: float = 0.0) -> DoseVolumeHistogram:
    """Return the histogram of samples of 2 cm³."""
    return DoseVolumeHistogram(np.sort(np.asarray(doses, np.float32))[::-1], 2.0, outside, face)


def metrics(structure: str, manual, automatic=None, prescription=7.0) -> dict[str, PlanMetric]:
    found = plan_metrics(CASE, structure, manual, automatic, NAMES, prescription, predicted=automatic is not None)
    return {one.metric: one for one in found}


def test_a_target() -> None:
    found = metrics("hr_ctv", histogram([6, 7, 8, 10.5, 14]), histogram([7, 7, 7, 7]))
    assert list(found) == ["volume", "mean", "V100", "V150", "V200"]
    assert [(found[name].manual, found[name].unit) for name in found] == [
        (10, "cm³"), (pytest.approx(9.1), "Gy"), (80, "%"), (40, "%"), (20, "%")
    ]  # fmt: skip
    assert [found[name].automatic for name in found] == [8, 7, 100, 0, 0]
    assert found["V100"].difference == 20


def test_an_organ_and_a_structure_with_the_source() -> None:
    assert list(metrics("bladder", histogram([5, 4, 3, 2]))) == ["volume", "mean", "D5cc"]
    assert metrics("bladder", histogram([5, 4, 3, 2]))["D5cc"].manual == pytest.approx(3)
    assert list(metrics("uterus", histogram([50, 40]))) == ["volume"]
    assert list(metrics("hr_ctv", histogram([7]), prescription=None)) == ["volume", "mean"]


def test_outside_the_dose_grid() -> None:
    """The dose of 2 of 10 cm³ is unknown, and 9 Gy are reached at the faces of the grid."""
    found = metrics("hr_ctv", histogram([14, 10.5, 8, 7], outside=2, face=9), histogram([7]))
    assert math.isnan(found["mean"].manual)
    assert found["mean"].manual_note == "20 % outside the dose grid"
    assert (found["V100"].manual, found["V100"].manual_note) == (80, "lower bound, 20 % outside the dose grid")
    assert math.isnan(found["V100"].difference)
    assert (found["V150"].manual, found["V150"].manual_note) == (40, "")
    rows = plan_metric_cells(list(found.values()), predicted=True)[1]
    assert rows[2] == ["HR-CTV", "V100 (%)", "–", "–", "–", "0", "0", "1"]


def test_without_contours() -> None:
    found = metrics("bladder", None, histogram([5, 4, 3]))
    assert {one.manual_note for one in found.values()} == {"no contour"}
    assert found["mean"].automatic == 4
