import runpy
from pathlib import Path

import pandas as pd
import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [str(path), str(tmp_path)])
    runpy.run_path(str(path), run_name="__main__")
    scores = pd.read_csv(tmp_path / "evaluation" / "scores.csv")
    assert set(scores["structure"]) == {"hr_ctv", "bladder", "rectum", "sigmoid", "uterus"}
