"""EQD2 and courses by hand, verdicts, and totals that are not judged."""

import math
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gynbtnet.evaluation.dose.course import course_doses
from gynbtnet.evaluation.dose.dose_evaluation import check_aims
from gynbtnet.evaluation.dose.eqd2 import to_eqd2, total_eqd2
from gynbtnet.evaluation.dose.external_beam import ExternalBeam, parse_external_beam
from gynbtnet.evaluation.dose.planning_aims import EMBRACE_II, PlanningAims
from gynbtnet.evaluation.dose.score import DoseScore
from gynbtnet.evaluation.metrics.settings import DoseSettings
from gynbtnet.imaging import StructureNames
from gynbtnet.runtime import BadInput

NAMES, AIMS, SETTINGS = StructureNames.load(), PlanningAims.load(), DoseSettings()
BEAM = {"p1": ExternalBeam(45, 25)}


def score(fraction: int, manual: float, automatic: float, structure="bladder", metric="D2cc", **notes) -> DoseScore:
    return DoseScore(
        f"p1_f{fraction}", "p1", fraction, structure, metric, manual, automatic, automatic - manual, **notes
    )


def course(*scores: DoseScore, external=BEAM, aims=AIMS, settings=SETTINGS, predicted=True):
    (result,) = course_doses(scores, external, aims, settings, NAMES, predicted=predicted)
    return result


def test_eqd2_by_hand():
    assert to_eqd2(2, 10, 25) == 50  # fractions of 2 Gy are their own EQD2
    assert to_eqd2(7, 10, 4) == pytest.approx(28 * 17 / 12)
    assert to_eqd2(7, 3, 4) == pytest.approx(28 * 10 / 5)
    assert ExternalBeam(45, 25).eqd2(10) == pytest.approx(44.25)
    assert ExternalBeam(45, 25).eqd2(3) == pytest.approx(43.2)
    assert ExternalBeam(0, 1).eqd2(3) == 0


@given(dose=st.floats(0.1, 20), alpha_beta=st.floats(1, 20), fractions=st.integers(1, 30))
def test_eqd2_has_the_same_biologically_effective_dose(dose, alpha_beta, fractions):
    same = to_eqd2(dose, alpha_beta, fractions)
    effect = fractions * dose * (1 + dose / alpha_beta)
    assert same * (1 + 2 / alpha_beta) == pytest.approx(effect)
    assert total_eqd2([dose] * fractions, alpha_beta) == pytest.approx(same)
    assert total_eqd2([dose], alpha_beta, [fractions]) == pytest.approx(same)


def test_course_by_hand():
    """45 Gy in 25 and two fractions: bladder 6 and 7 Gy, α/β 3: 43.2 + 6·9/5 + 7·10/5 = 68 Gy."""
    bladder = course(score(1, 6, 7), score(2, 7, 9))
    assert bladder.manual_eqd2_gy == pytest.approx(68.0)
    assert bladder.automatic_eqd2_gy == pytest.approx(43.2 + 14 + 9 * 12 / 5)
    assert bladder.difference_eqd2_gy == pytest.approx(3.2 + 7.6)
    assert (bladder.fractions, bladder.alpha_beta_gy) == (2, 3)
    assert (bladder.aim, bladder.limit, bladder.manual_verdict, bladder.note) == ("< 80", "< 90", "aim met", "")
    target = course(score(1, 7, 6, "hr_ctv", "D90"))
    assert target.manual_eqd2_gy == pytest.approx(44.25 + 7 * 17 / 12)
    assert (target.alpha_beta_gy, target.aim) == (10, "> 90 and < 95")
    more = course(replace(score(1, 6, 7), fractions=3))
    assert (more.fractions, more.manual_eqd2_gy) == (3, pytest.approx(43.2 + 3 * 6 * 9 / 5))


@pytest.mark.parametrize(
    ("structure", "metric", "total", "verdict"),
    [
        ("hr_ctv", "D90", 92, "aim met"),
        ("hr_ctv", "D90", 90, "limit met"),  # bounds are excluded
        ("hr_ctv", "D90", 97, "limit met"),
        ("hr_ctv", "D90", 85, "limit missed"),
        ("hr_ctv", "D98", 76, "aim met"),
        ("hr_ctv", "D98", 70, "aim missed"),
        ("bladder", "D2cc", 79, "aim met"),
        ("bladder", "D2cc", 80, "limit met"),
        ("rectum", "D2cc", 75, "limit missed"),
        ("sigmoid", "D2cc", 71, "limit met"),
        ("sigmoid", "D1cc", 200, ""),
        ("bladder", "D2cc", math.nan, "not judged"),
    ],
)
def test_verdicts(structure, metric, total, verdict):
    aim = AIMS.aim_for(structure, metric)
    assert (aim.verdict(total) if aim.aim or aim.limit else "") == verdict


def test_unknown_totals_are_not_judged():
    def verdicts(result):
        return result.manual_verdict, result.automatic_verdict, result.note

    without_beam = course(score(1, 6, 7), external={})
    assert verdicts(without_beam) == ("not judged", "not judged", "external beam not known")
    assert math.isnan(without_beam.external_eqd2_gy)
    assert without_beam.manual_eqd2_gy == pytest.approx(6 * 9 / 5)
    other = course(score(1, 6, 7), settings=DoseSettings(alpha_beta_organ_gy=4))
    assert verdicts(other) == ("not judged", "not judged", "EMBRACE II is valid for α/β 3 Gy")
    own = DoseSettings(alpha_beta_gy={"bladder": 5})
    assert course(score(1, 6, 7), settings=own).manual_eqd2_gy == pytest.approx(45 * 6.8 / 7 + 6 * 11 / 7)
    assert course(score(1, 6, 7, structure="rectum"), settings=own).alpha_beta_gy == 3
    missed = course(score(1, 6, 7), score(2, 6, math.nan, automatic_note="no contour"))
    assert verdicts(missed) == ("aim met", "not judged", "fraction 2: prediction no contour")
    assert math.isnan(missed.automatic_eqd2_gy)
    bounded = course(score(1, 6, 7, manual_note="lower bound, 5 % outside the dose grid"))
    assert verdicts(bounded) == (
        "not judged",
        "aim met",
        "fraction 1: reference lower bound, 5 % outside the dose grid",
    )
    gap = course(score(1, 6, 7), score(3, 6, 7))
    assert verdicts(gap) == ("not judged", "not judged", "fraction 2 is not in the cohort")
    assert math.isnan(gap.manual_eqd2_gy)
    assert "fraction 1 has several scans" in course(score(1, 6, 7), score(1, 6, 7)).note
    assert course(score(1, 6, math.nan), predicted=False).automatic_verdict == ""


def test_another_table_of_aims(tmp_path):
    table = yaml.safe_load(EMBRACE_II.read_text())
    table["name"] = "Ours"
    table["structures"] = {"bladder": {"D1cc": {"limit": {"below": 50}}}}
    path = tmp_path / "ours.yaml"
    path.write_text(yaml.safe_dump(table))
    result = course(score(1, 6, 7, metric="D1cc"), aims=PlanningAims.load(path))
    assert (result.aim, result.limit, result.manual_verdict) == ("", "< 50", "limit missed")

    def refused(change, words):
        path.write_text(yaml.safe_dump(table | change))
        with pytest.raises(BadInput, match=words):
            PlanningAims.load(path)

    refused({"structures": {"bladder": {"V100": {"limit": {"below": 50}}}}}, "V100.*not a dose-volume metric")
    refused({"structures": {"bladder": {"D2cc": {"limit": {}}}}}, "neither above nor below")
    refused({"structures": {"bladder": {"D2cc": {"limit": {"under": 50}}}}}, "under")
    refused(
        {"structures": {"hr_ctv": {"D90": {"aim": {"above": 95, "below": 90}}}}}, "no dose is above 95 and below 90"
    )
    refused({"alpha_beta_gy": {"target": 10}}, "organ")
    path.write_text("a: [")
    with pytest.raises(BadInput, match="cannot be read as YAML"):
        PlanningAims.load(path)
    with pytest.raises(BadInput, match="There is no file"):
        PlanningAims.load(tmp_path / "none.yaml")


def test_a_misspelt_structure_in_the_aims_is_refused():
    misspelt = AIMS.model_copy(update={"structures": {"blader": AIMS.structures["bladder"]}})
    with pytest.raises(BadInput, match=r"name blader, which is neither a structure of the cohort \(bladder\) nor"):
        check_aims(misspelt, ["bladder"], NAMES)
    check_aims(AIMS, ["bladder"], NAMES)
    check_aims(misspelt, ["blader"], NAMES)


def test_external_beam_for_all_or_by_patient(tmp_path):
    assert parse_external_beam("45/25", ["p1", "p2"]) == {"p1": ExternalBeam(45, 25), "p2": ExternalBeam(45, 25)}
    path = tmp_path / "beam.csv"
    path.write_text("patient,dose_gy,fractions\np1,50.4,28\np9,45,25\n")
    with pytest.raises(BadInput, match=r"Row 3 of .* lists a patient who is not in the cohort"):
        parse_external_beam(str(path), ["p1", "p2"])
    assert parse_external_beam(str(path), ["p1", "p2"], known=["p9"]) == {"p1": ExternalBeam(50.4, 28)}
    path.write_text("\ufeffpatient,dose_gy,fractions\nHOSPITAL 7,50.4,28\n", encoding="utf-8")
    assert parse_external_beam(str(path), ["p1"], {"HOSPITAL 7": "p1"}) == {"p1": ExternalBeam(50.4, 28)}
    with pytest.raises(BadInput, match="the study ID of one patient and the PatientID of another, p2"):
        parse_external_beam(str(path), ["p1", "p2"], {"HOSPITAL 7": "p2", "B": "HOSPITAL 7"})
    for text in (
        "patient,dose_gy,fractions\n,,\n\np1,50.4,28\n,,,\n",
        "patient;dose_gy;fractions\r\n p1 ; 50.4 ; 28 ;\r\n",
        "patient;dose_gy;fractions\np1;50,4;28\n;;\n",
        "fractions,patient,,dose_gy,,\n28,p1,a note,50.4,,\n",
    ):
        path.write_text(text)
        assert parse_external_beam(str(path), ["p1"]) == {"p1": ExternalBeam(50.4, 28)}, text
    for text, words in (
        ("patient,dose_gy,fractions\np1,45,25\np1,45,25\n", "two rows"),
        ("patient,dose,fractions\np1,45,25\n", "columns"),
        ("p1,45,25\n", "with the columns patient, dose_gy, fractions"),
        ("patient,dose_gy,dose_gy,fractions\np1,45,50,25\n", "each once"),
        ("patient;dose_gy;fractions\n", "lists no patient"),
        ("patient,dose_gy,fractions\n,,\n", "lists no patient"),
        ("patient,dose_gy,fractions\np1,50,4,28\n", "Row 2 of .* has 4 cells; expected 3"),
        ("patient;dose_gy;fractions\np1;50;28;4\n", "Row 2 of .* has 4 cells; expected 3"),
        ("patient,dose_gy,fractions\np1,4_5,25\n", "Row 2 of .* gives 4_5 Gy"),
        ('patient,dose_gy,fractions\np1,"50,4",28\n', "Row 2 of .* gives 50,4 Gy"),
        ("", "with the columns patient, dose_gy, fractions"),
        ("patient,dose_gy,fractions\n", "lists no patient"),
        ("patient,dose_gy,fractions\np1,45\n", "Expected: 0 to 200 Gy"),
        ("patient,dose_gy,fractions\np1,nan,25\n", "Expected: 0 to 200 Gy"),
        ("patient,dose_gy,fractions\np1,45,0\n", "Expected: 0 to 200 Gy"),
    ):
        path.write_text(text)
        with pytest.raises(BadInput, match=words):
            parse_external_beam(str(path), ["p1"])
    for text in ("45", "45x25", "450/25", "45/0"):
        with pytest.raises(BadInput, match="such as 45/25"):
            parse_external_beam(text, ["p1"])


def test_order_of_scores_is_kept():
    scores = [score(1, 6, 7), score(1, 5, 5, "rectum"), score(2, 6, 7), replace(score(1, 6, 7), patient="p2")]
    result = course_doses(scores, BEAM, AIMS, SETTINGS, NAMES, predicted=True)
    assert [(total.patient, total.structure, total.fractions) for total in result] == [
        ("p1", "bladder", 2),
        ("p1", "rectum", 1),
        ("p2", "bladder", 1),
    ]


def test_a_lower_bound_is_judged_if_every_higher_total_has_the_same_verdict():
    note = "lower bound, 50 % outside the dose grid"
    hot = course(score(1, 14, 6, manual_note=note))
    assert hot.manual_eqd2_gy == pytest.approx(43.2 + 14 * 17 / 5)
    assert (hot.manual_verdict, hot.manual_is_bound, hot.automatic_is_bound) == ("limit missed", True, False)
    assert math.isnan(hot.difference_eqd2_gy)
    assert course(score(1, 12, 6, "hr_ctv", "D98", manual_note=note)).manual_verdict == "not judged"  # 66 Gy or more
    assert course(score(1, 18, 6, "hr_ctv", "D98", manual_note=note)).manual_verdict == "aim met"
    assert course(score(1, 18, 6), external={}).manual_verdict == "not judged"
    assert course(score(1, 22, 6), external={}).manual_verdict == "limit missed"  # brachytherapy alone is too much


@given(
    bound=st.floats(0, 120),
    more=st.floats(0, 80),
    structure=st.sampled_from([("hr_ctv", "D90"), ("hr_ctv", "D98"), ("bladder", "D2cc"), ("rectum", "D2cc")]),
)
def test_a_verdict_from_a_bound_holds_for_every_higher_total(bound, more, structure):
    aim = AIMS.aim_for(*structure)
    verdict = aim.verdict_from(bound)
    assert verdict in ("not judged", aim.verdict(bound + more))
    if verdict == "not judged":
        assert len({aim.verdict(bound + step) for step in (0, *range(200))}) > 1


@pytest.mark.parametrize(
    ("fractions", "planned", "expected", "note"),
    [
        (1, 0, None, ""),
        (1, 1, None, ""),
        (5, 5, None, ""),
        (1, 5, None, "2 of 5 fractions of the plan"),
        (1, 0, 4, "2 of 4 fractions of the course"),
        (2, 0, 4, ""),
        (1, 5, 2, ""),
        (1, 1, 1, "2 of 1 fractions of the course"),
        (2, 2, None, ""),  # two implants, each with its own plan
        (2, 2, 4, ""),
        (2, 3, None, "4 of 3 fractions of the plan: give --course-fractions"),
    ],
)
def test_a_course_with_other_fractions_than_planned_is_not_judged(fractions, planned, expected, note):
    scores = [
        replace(score(number, 6, 7), fractions=fractions, planned_fractions=planned)
        for number in (1, 2)[: 1 if fractions == 5 else 2]
    ]
    result = course(*scores, settings=DoseSettings(course_fractions=expected))
    assert result.note == note
    assert (result.manual_verdict == "not judged") == bool(note)
    assert result.fractions == fractions * len(scores)
