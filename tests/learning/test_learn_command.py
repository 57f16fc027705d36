"""``gynbtnet learn`` on the command line: what it prints, and one sentence for what it can't use."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gynbtnet.cli import main

from .conftest import truth
from .test_round import scores
from .test_rules import UP


@pytest.fixture
def learn(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Return a function that runs ``gynbtnet learn`` and returns exit code and output."""

    def run(*arguments: str) -> tuple[int, str]:
        model, cohort = str(source / "model"), str(source / "cohort")
        fixed = [str(tmp_path / "predictions"), "--from", model, "--cohort", cohort, "--out", str(tmp_path / "learned")]
        monkeypatch.setattr(sys, "argv", ["gynbtnet", "learn", *fixed, *arguments])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return code, f"{out}{err}"

    return run


def test_what_it_prints(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_training: None,
    predicted: Callable[..., Path],
    reviewed: Callable[..., Path],
    learn: Callable[..., tuple[int, str]],
) -> None:
    split = ("--split", str(source / "split.json"))
    reviewed(predicted("new1", 20), truth(20))
    reviewed(predicted("p0_f2", 30), truth(30))
    for number in range(3):
        predicted(f"waiting{number}", 50 + number, low=0.9 - number / 10)
    code, text = learn("--next", "2", *split)
    assert code == 0, text
    assert "3 predictions to choose from. Not among them: 2 with a review, 0 of frozen test patients" in text
    rows = [line.split() for line in text.splitlines() if "waiting" in line]
    assert rows[0][1] == "waiting2" and len(rows) == 2
    assert "predicted DSC from 0.70" in text and "at random" in text
    page = tmp_path / "learned" / "learning.html"
    assert f"The page is {page}" in text
    assert "2 reviews not learned from yet" in page.read_text() and "waiting2" in page.read_text()

    scores(monkeypatch, {"round-1": UP})
    code, text = learn("--set", "length=1", "--set", "validation=0")
    assert code == 0, text
    assert "2 new reviews, 0 changed, 0 known already, 0 left out." in text
    assert re.search(r"new1/review/001 +new1 +corrected: Bladder", text)
    assert re.search(r"p0_f2/review/001 +p0 +not used: a patient of the frozen test never trains", text)
    assert "DSC on the frozen test of 6 patients:" in text
    assert re.search(r"Bladder +0\.634 +0\.684 +\+0\.050 \(\+0\.050 to \+0\.050\) +gains", text)
    assert "Round 1. Promoted: the challenger gains on Bladder and Rectum" in text
    assert "commission it before use" in text
    assert f"The model to use is {tmp_path / 'learned' / 'rounds' / 'round-1' / 'model'}" in text
    after = page.read_text()
    assert "Round 1. Promoted" in after and "not learned from yet" not in after and "another model" in after
    code, text = learn()
    assert code == 0, text
    assert "0 new reviews, 0 changed, 2 known already" in text and "nothing new to learn from" in text


def test_what_it_cannot_use(source: Path, tmp_path: Path, learn: Callable[..., tuple[int, str]]) -> None:
    split = ("--split", str(source / "split.json"))
    code, text = learn(*split)
    assert code == 2 and "There is no folder" in text and not (tmp_path / "learned" / "learning.json").exists()
    (tmp_path / "predictions").mkdir()
    (tmp_path / "experiment").mkdir()
    for arguments, words in (
        ((*split, "--from", str(tmp_path / "experiment")), "such as runs/task"),
        ((), "--split"),
        ((*split, "--set", "lenght=1"), "lenght"),
        ((*split, "--fold", "7"), "no fold 7"),
        ((*split, "--next", "3"), "contains no prediction"),
        ((*split, "--patient-id-from", "folder"), "needs --scan"),
        ((*split, "--key", str(tmp_path / "absent.csv")), "There is no key"),
    ):
        code, text = learn(*arguments)
        assert (code, words in text, "Traceback" in text) == (2, True, False), text
