"""The page of learning: who joined and why not, the next cases, champion against challenger, and what to do next."""

import re
from dataclasses import replace

import pytest

from gynbtnet.imaging import StructureNames
from gynbtnet.learning import Assignment, Candidate, Challenge, ChosenCase, NextCases, StructureChallenge
from gynbtnet.learning.learning_page import LearningReport, learning_page
from gynbtnet.learning.ledger import Ledger, LedgerEntry, Use
from gynbtnet.learning.next_cases import next_table
from gynbtnet.learning.reviewed_scans import LeftOutReview, Origin
from gynbtnet.learning.round import FinishedRound

FIRST, SECOND = "ab" * 32, "cd" * 32
NASTY = "<script>alert(1)</script>"


def entry(scan: str, use: Use, **origins: Origin) -> LedgerEntry:
    name = f"{scan}_f1/review/001"
    return LedgerEntry(scan, f"digest-{scan}", "2026-11-02T08:30:00+00:00", FIRST, scan, use, origins, name=name)


def chosen(name: str, model: str = FIRST, **signs: object) -> ChosenCase:
    values: dict[str, object] = {
        "lowest_dsc": None,
        "lowest_agreement": 0.91,
        "structures_flagged": 1,
        "distance": 2.25,
        **signs,
    }
    return ChosenCase(Candidate(name, f"scan-{name}", model, **values), "agreement 0.91")  # type: ignore[arg-type]


@pytest.fixture
def report() -> LearningReport:
    challenge = Challenge(
        (
            StructureChallenge("bladder", 6, 0.81, 0.85, 0.04, 0.01, 0.07, "gains"),
            StructureChallenge("rectum", 6, 0.7, 0.69, -0.01, -0.0002, 0.02, "no difference shown"),
            StructureChallenge("uterus", 0, None, None, None, None, None, "can't be decided"),
        ),
        promoted=False,
        reason="Not promoted: a reason.",
    )
    groups = dict.fromkeys([f"t{number}" for number in range(6)], "frozen test") | {"a": "training", "v": "validation"}
    entries = (
        entry("one", "training", bladder="corrected", hr_ctv="untouched"),
        entry("two", "frozen test"),
        entry("three", "nothing corrected"),
        entry("four", "in the cohort"),
        entry("five", "validation", rectum="corrected"),
    )
    return LearningReport(
        model="task",
        champion=FIRST,
        champion_round=0,
        rounds=(FinishedRound(1, FIRST, 2, challenge),),
        ledger=Ledger(untouched=False, entries=entries),
        waiting=("six_f1/review/001",),
        left_out=(LeftOutReview("seven_f1/review/002", f"Its scan is gone {NASTY}."),),
        next_cases=NextCases("2026-11-03T10:00:00+00:00", FIRST, (chosen("p8"), chosen("p9")), 4, 5, 1, 2, ()),
        assignment=Assignment(groups),  # type: ignore[arg-type]
        confidence=0.95,
        synthetic=True,
    )


def page_of(report: LearningReport) -> str:
    return learning_page(report, StructureNames.load())


def row_of(page: str, text: str) -> str:
    """Return the cells of the table row with a text, without tags."""
    (row,) = (row for row in re.findall(r"<tr>(.*?)</tr>", page) if text in row)
    return re.sub(r"<[^>]+>", " ", row)


def test_each_review_has_its_use_and_reason(report: LearningReport) -> None:
    page = page_of(report)
    for name, words in (
        ("one_f1", ("learned from", "corrected: Bladder; untouched: HR-CTV")),
        ("two_f1", ("not used", "frozen test never trains")),
        ("three_f1", ("not used", "no contour was both corrected and accepted")),
        ("four_f1", ("not used", "the cohort has its own contours")),
        ("five_f1", ("used to validate", "corrected: Rectum")),
        ("six_f1", ("waiting",)),
        ("seven_f1", ("left out", "Its scan is gone &lt;script&gt;")),
    ):
        assert all(text in row_of(page, name) for text in words), row_of(page, name)
    assert "2 of 5 reviewed scans joined; 1 waiting, 1 left out" in page
    assert NASTY not in page
    assert "Synthetic data" in page and "http" not in page.replace("http-equiv", "")


def test_the_verdict_is_first_and_has_intervals(report: LearningReport) -> None:
    page = page_of(report)
    assert page.index("Round 1. Not promoted: a reason.") < page.index("<main>")
    bladder = row_of(page, "Bladder </td>") if "Bladder </td>" in page else row_of(page, ">gains <")
    for text in ("0.810", "0.850", "+0.040", "+0.010 to +0.070"):
        assert text in bladder
    assert "-0.0002 to +0.020" in row_of(page, ">Rectum<"), "no end of an interval looks like zero unless it is"
    assert page.count("<img ") == 1, "the plot"
    assert "Bladder +0.040, gains; Rectum -0.010, no difference shown" in page
    assert "The model to use is the first model (abababab)." in page
    promoted = page_of(replace(report, champion=SECOND, champion_round=1))
    assert "the challenger of round 1 (cdcdcdcd): rounds/round-1/model." in promoted
    assert "commission it before use" in promoted and "commission it before use" not in page


def test_the_next_cases(report: LearningReport) -> None:
    page = page_of(report)
    assert "from 4 predictions without a review" in page
    assert row_of(page, "p8").split()[:5] == ["1", "p8", "0.91", "1", "2.2"]
    assert "DSC from" not in page, "no prediction has one"
    assert "another model" not in page
    assert "another model" in page_of(replace(report, champion=SECOND, champion_round=1))
    done = replace(report, ledger=Ledger(untouched=False, entries=(entry("scan-p8", "training", bladder="corrected"),)))
    assert "reviewed since" in row_of(page_of(done), ">p8<") and "open" in row_of(page_of(done), ">p9<")


def test_a_sign_that_no_case_has_gets_no_column() -> None:
    heads, rows = next_table([chosen("a", lowest_dsc=0.5), chosen("b", distance=None)])
    assert heads == ("next", "prediction", "DSC from", "agreement", "flagged", "distance (SD)", "chosen by")
    assert [row[2] for row in rows] == ["0.50", "–"]
    heads, rows = next_table([chosen("a", lowest_agreement=None, distance=None)])
    assert heads == ("next", "prediction", "flagged", "chosen by") and rows == [("1", "a", "1", "agreement 0.91")]


def test_before_the_first_round_and_with_few_patients(report: LearningReport) -> None:
    few = Assignment({"t1": "frozen test", "t2": "frozen test"})
    empty = replace(
        report, rounds=(), ledger=Ledger(untouched=False), waiting=(), left_out=(), next_cases=None, assignment=few
    )
    page = page_of(empty)
    for text in ("No round yet", "No review was given yet", "--next 5", "has 2 patients. With fewer than 5"):
        assert text in page
    assert "<img " not in page
    assert "With fewer than" not in page_of(report)
