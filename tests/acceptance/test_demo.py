"""The demo, whole: what it promises of a quarter of an hour."""

from pathlib import Path

import pandas as pd
import pytest

from gynbtnet.datasets import Split


@pytest.mark.slow
def test_the_demo_has_really_learned(gynbtnet, tmp_path: Path) -> None:
    phantom, experiment = tmp_path / "phantom", tmp_path / "experiment"
    assert gynbtnet("phantom", phantom).code == 0
    result = gynbtnet(
        *("run", "demo", "--out", experiment, "--cohort", phantom / "brachytherapy"),
        *("--unlabelled", phantom / "unlabelled", "--supervised", phantom / "organs"),
    )
    assert result.code == 0, result.err
    scores = pd.read_csv(experiment / "evaluation" / "scores.csv")
    assert set(scores["patient"]) == set(Split.load(experiment / "split.json").test)
    dsc = scores.groupby("structure")["dsc"].mean()
    assert dsc["bladder"] >= 0.80
    assert dsc.mean() >= 0.55
