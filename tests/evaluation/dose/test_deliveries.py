"""Number of deliveries of a plan, and what its dose is."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gynbtnet.datasets import Case, Source
from gynbtnet.evaluation.dose.deliveries import Delivery, plan_deliveries
from gynbtnet.evaluation.dose.files import DoseFiles
from gynbtnet.evaluation.metrics.settings import DoseSettings
from gynbtnet.imaging import Geometry


def case(number: int, patient: str = "p1") -> Case:
    return Case(patient, number, f"{patient}_f{number}", (Path("ct.nii.gz"),), None, Source(), Geometry((1, 1, 1)))


def with_plan(fractions: int) -> DoseFiles:
    return DoseFiles((Path("RD.dcm"),), replace(DoseFiles().plan, path=Path("RP.dcm"), fractions=fractions))


def delivery(planned: int, scans: int = 1, **settings: Any) -> Delivery:
    cases = [case(number) for number in range(1, scans + 1)]
    files = {each.id: with_plan(planned) for each in cases}
    return plan_deliveries(cases, files, DoseSettings.model_validate(settings))["p1_f1"]


@pytest.mark.parametrize(
    ("planned", "settings", "expected"),
    [
        (0, {}, Delivery(1, 1, 0)),
        (1, {}, Delivery(1, 1, 1)),
        (1, {"dose_is": "total"}, Delivery(1, 1, 1)),
        (0, {"fractions_per_plan": 2}, Delivery(2, 1, 0)),
        (0, {"fractions_per_plan": 2, "dose_is": "total"}, Delivery(2, 2, 0)),
        (5, {"dose_is": "total"}, Delivery(5, 5, 5)),
        (5, {"dose_is": "fraction"}, Delivery(5, 1, 5)),
        (5, {"dose_is": "total", "fractions_per_plan": 1}, Delivery(1, 5, 5)),
        (5, {"dose_is": "fraction", "fractions_per_plan": 1}, Delivery(1, 1, 5)),
    ],
)
def test_fractions_and_divisor(planned: int, settings: dict[str, Any], expected: Delivery) -> None:
    assert delivery(planned, **settings) == expected


def test_what_the_data_do_not_tell_is_asked() -> None:
    sentence = r"RD\.dcm .* RP\.dcm, which has 5 fractions\. .*--dose-is total or --dose-is fraction"
    assert re.search(sentence, delivery(5).problem)
    sentence = r"has 5 fractions, and its patient has 2 scans .*--fractions-per-plan"
    assert re.search(sentence, delivery(5, scans=2, dose_is="fraction").problem)
    assert delivery(5, scans=2, dose_is="fraction", fractions_per_plan=1) == Delivery(1, 1, 5)

    sentence = r"RD\.dcm has no RTPLAN, .*number of fractions .*--fractions-per-plan"
    assert re.search(sentence, delivery(0, dose_is="total").problem)
    doubtful = {"p1_f1": DoseFiles((Path("RD.dcm"),), replace(DoseFiles().plan, doubt="refers to an RTPLAN"))}
    assert "RD.dcm refers to" in plan_deliveries([case(1)], doubtful, DoseSettings(dose_is="total"))["p1_f1"].problem


def test_scans_without_a_dose_do_not_count() -> None:
    cases = [case(1), case(2)]
    files = {"p1_f1": with_plan(5), "p1_f2": DoseFiles()}
    found = plan_deliveries(cases, files, DoseSettings(dose_is="total"))
    assert found == {"p1_f1": Delivery(5, 5, 5), "p1_f2": Delivery()}
