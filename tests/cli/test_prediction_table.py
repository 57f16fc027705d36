"""Sentences about predictions on a terminal."""

import re

import pytest

from gynbtnet.cli.prediction_table import print_adaptation
from gynbtnet.inference import AdaptationRecord, CheckedStructure


@pytest.mark.parametrize(
    ("asked", "trial", "final", "sentence"),
    [
        (50, 7, 7, "Only 7 of 50 steps fitted into --earlier-seconds."),
        (50, 50, 49, "Only 49 of 50 steps fitted into --earlier-seconds."),
        (50, 7, 0, "Only 7 of 50 steps fitted into --earlier-seconds."),
        (None, 7, 6, "Only 6 of 7 steps fitted into --earlier-seconds."),
        (50, 50, 50, ""),
        (None, 7, 7, ""),
        (50, 50, 0, ""),
    ],
)
def test_steps_that_did_not_fit_are_stated(
    capsys: pytest.CaptureFixture[str], asked: int | None, trial: int, final: int, sentence: str
) -> None:
    """Final steps of 0: no structure was better."""
    check = {"bladder": CheckedStructure(0.5, 0.6 if final else 0.4)}
    adapted = ("bladder",) if final else ()
    print_adaptation(AdaptationRecord(("a", "b"), final, 9.0, 0, adapted, check, trial), ("bladder",), 0.005, asked)
    assert "".join(re.findall("Only .*", capsys.readouterr().out)) == sentence
