import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.imaging import Geometry
from gynbtnet.preparation.planning.structure_volumes import StructureVolume, structure_volumes


def cohort(*volumes: tuple[str, float]) -> Cohort:
    cases = tuple(
        Case(
            patient, n, f"{patient}_f{n}", (Path("x.nii.gz"),), None, Source(), Geometry((1, 1, 1)), {"bladder": volume}
        )
        for n, (patient, volume) in enumerate(volumes, start=1)
    )
    return Cohort("c", ("bladder", "uterus"), cases, Path("c"))


def test_one_scan_a_patient_is_the_textbooks_prediction_interval() -> None:
    values = [80.0, 120.0, 100.0, 150.0, 70.0]
    (found,) = structure_volumes(cohort(*((f"p{n}", value) for n, value in enumerate(values))))
    logs = np.log(values)
    t = stats.t.ppf(0.995, 4)
    half = t * logs.std(ddof=1) * math.sqrt(1 + 1 / 5)
    assert found.patients == 5
    assert found.range_cm3 == pytest.approx((math.exp(logs.mean() - half), math.exp(logs.mean() + half)))
    assert found.score(found.median_cm3 * math.exp(logs.std(ddof=1))) == pytest.approx(1)


def test_a_patient_counts_once_however_many_fractions() -> None:
    once = structure_volumes(cohort(("a", 50.0), ("b", 100.0), ("c", 200.0)))
    often = structure_volumes(cohort(*[("a", 50.0)] * 5, ("b", 100.0), ("c", 200.0)))
    assert often[0].median_cm3 == pytest.approx(once[0].median_cm3)
    assert often[0].spread == pytest.approx(once[0].spread)
    assert often[0].patients == 3


def test_one_patient_gives_no_range_and_equal_volumes_a_small_one() -> None:
    assert structure_volumes(cohort(("a", 50.0), ("a", 60.0))) == ()
    (alike,) = structure_volumes(cohort(("a", 50.0), ("b", 50.0)))
    assert alike.spread == 0.05


def test_few_patients_give_a_wide_range() -> None:
    widths = [np.divide(*StructureVolume("bladder", n, 100, 0.3).range_cm3[::-1]) for n in (2, 3, 5, 10, 30, 1000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == pytest.approx(math.exp(2 * 2.5758 * 0.3), rel=0.02)  # the normal distribution's 99 %


def test_one_in_a_hundred_of_further_patients_is_outside() -> None:
    random = np.random.default_rng(0)
    outside = []
    for _ in range(2000):
        drawn = np.exp(random.normal(4, 0.5, 9))
        (found,) = structure_volumes(cohort(*((f"p{n}", value) for n, value in enumerate(drawn[:8]))))
        low, high = found.range_cm3
        outside.append(not low <= drawn[8] <= high)
    assert np.mean(outside) == pytest.approx(0.01, abs=0.007)  # three standard errors


@pytest.mark.parametrize("wrong", [(1, 100.0, 0.3), (5, 0.0, 0.3), (5, math.nan, 0.3), (5, 100.0, 0.0)])
def test_what_is_no_range(wrong: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="at least two patients and positive"):
        StructureVolume("bladder", *wrong)
