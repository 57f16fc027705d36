"""Models of a benchmark folder that are compared."""

from pathlib import Path

import pytest
import typer

from gynbtnet.cli.compare_command import compare
from gynbtnet.datasets import Cohort
from gynbtnet.runtime import BadInput


def write_model(benchmark: Path, name: str, rise: float) -> None:
    """Write a model whose validation Dice rises in the last tenth of its steps."""
    for path, text in (
        (f"models/{name}/task/fold_0/log.csv", f"step,dice_mean\n90,0.5\n100,{0.5 + rise}\n"),
        (f"evaluations/{name}/scores.csv", ""),
    ):
        (benchmark / path).parent.mkdir(parents=True)
        (benchmark / path).write_text(text)


def test_a_model_of_a_benchmark_that_still_improved_is_not_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, rise in (("flat", 0.001), ("rising", 0.05)):
        write_model(tmp_path, name, rise)
    given = {}

    def stop(*_: object, **arguments: object) -> None:
        given.update(arguments)
        raise BadInput("enough")

    monkeypatch.setattr(Cohort, "load", lambda _: Cohort("mini", (), (), tmp_path))
    monkeypatch.setattr("gynbtnet.evaluation.comparison.compare.compare", stop)
    with pytest.raises((BadInput, typer.Exit)):
        compare([str(tmp_path)], tmp_path / "out")
    assert given["unmarked"] == {"rising": "still improving, +0.050"}
