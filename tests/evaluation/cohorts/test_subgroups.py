"""Groups of cases, compared with results by hand."""

from dataclasses import replace

import numpy as np
import pytest

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.evaluation.cohorts.subgroups import crosstab, groupings, subgroups
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.imaging import Geometry, StructureNames

NAN = float("nan")


def a_case(patient: int, fraction: int, applicator: str | None) -> Case:
    name = f"p{patient}_f{fraction}"
    return Case(f"p{patient}", fraction, name, (), None, Source(), Geometry((1, 1, 1)), applicator=applicator)


def a_score(case: Case, structure: str, dsc: float, cm3: float) -> Score:
    return Score(case.id, case.patient, structure, dsc, 1.0, 1.0, "none", cm3, cm3, 1.0, 1.0, 0.0, 1.0)


CASES = (
    a_case(1, 1, "tandem+ring"),
    a_case(1, 2, "tandem+ring"),
    a_case(2, 1, "cylinder"),
    a_case(2, 2, "cylinder"),
    a_case(3, 1, None),
    a_case(3, 2, None),
)
COHORT = Cohort("six", ("bladder", "rectum"), CASES, None, channels=())
VOLUMES = (60.0, 50.0, 40.0, 30.0, 20.0, 10.0)
DSC = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
SCORES = tuple(
    score
    for case, dsc, cm3 in zip(CASES, DSC, VOLUMES, strict=True)
    for score in (a_score(case, "bladder", dsc, cm3), a_score(case, "rectum", 1.0, 5.0))
)


def test_every_case_is_in_one_group_of_each_kind():
    groups_by = groupings(COHORT, SCORES, {"p1_f1", "p3_f2"})
    assert {by: {group: list(ids) for group, ids in groups.items()} for by, groups in groups_by.items()} == {
        "applicator": {
            "cylinder": ["p2_f1", "p2_f2"],
            "tandem+ring": ["p1_f1", "p1_f2"],
            "unknown": ["p3_f1", "p3_f2"],
        },
        "fraction": {"1": ["p1_f1", "p2_f1", "p3_f1"], "2": ["p1_f2", "p2_f2", "p3_f2"]},
        # The tertiles of 10, 20, …, 60 are 10 + 50/3 = 26.7 and 43.3.
        "bladder volume (cm³)": {
            "≤ 27": ["p3_f1", "p3_f2"],
            "27–43": ["p2_f1", "p2_f2"],
            "> 43": ["p1_f1", "p1_f2"],
        },
        "artefacts": {"no metal": ["p1_f2", "p2_f1", "p2_f2", "p3_f1"], "metal": ["p1_f1", "p3_f2"]},
    }


def test_metrics_of_the_groups():
    table = subgroups(COHORT, Evaluation(SCORES), {"p1_f1"}).set_index(["by", "group", "structure"])
    ring = table.loc[("applicator", "tandem+ring", "bladder")]
    assert (ring["dsc_mean"], ring["dsc_sd"]) == pytest.approx((0.85, np.std([0.9, 0.8], ddof=1)))
    assert (ring["cases"], ring["patients"]) == (2, 1)
    second = table.loc[("fraction", "2", "mean over structures")]
    assert second["dsc_mean"] == pytest.approx((0.6 + 1.0) / 2)
    assert second["patients"] == 3
    metal = table.loc[("artefacts", "metal", "bladder")]
    assert metal["dsc_mean"] == 0.9
    assert np.isnan(metal["dsc_sd"])


def test_as_people_read_it():
    heads, rows = crosstab(subgroups(COHORT, Evaluation(SCORES), ()), "fraction", "dsc", StructureNames.load())
    assert heads == ["fraction", "missed", "false", "cases", "patients", "Bladder", "Rectum", "mean over structures"]
    assert rows == [
        ["1", "0", "0", "3", "3", "0.700 ± 0.200", "1.000 ± 0.000", "0.850"],
        ["2", "0", "0", "3", "3", "0.600 ± 0.200", "1.000 ± 0.000", "0.800"],
    ]


def test_a_bladder_that_nobody_contoured_is_a_group_of_its_own():
    undrawn = replace(SCORES[0], missing_in="unknown", dsc=NAN, truth_cm3=NAN)
    groups = groupings(COHORT, (undrawn, *SCORES[1:]), ())["bladder volume (cm³)"]
    assert groups["unknown"] == ["p1_f1"]
    assert sum(len(ids) for ids in groups.values()) == 6


def test_without_bladders_there_are_no_such_groups():
    few = [score for score in SCORES if score.structure == "rectum" or score.case in ("p1_f1", "p1_f2")]
    assert "bladder volume (cm³)" not in groupings(COHORT, few, ())
