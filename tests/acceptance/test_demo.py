"""The demo, whole: what it promises of ten minutes."""

from pathlib import Path

import pandas as pd
import pytest

from gynbtnet.datasets import Split


@pytest.mark.slow
def test_the_demo_has_really_learned(gynbtnet, tmp_path: Path) -> None:
    phantom, experiment = tmp_path / "phantom", tmp_path / "experiment"
    assert gynbtnet("phantom", phantom, "--nested", "--patients", "20", "--fractions", "2").code == 0
    result = gynbtnet(
        *("run", "demo", "--out", experiment, "--cohort", phantom / "brachytherapy"),
        *("--unlabelled", phantom / "unlabelled", "--supervised", phantom / "organs"),
    )
    assert result.code == 0, result.err
    scores = pd.read_csv(experiment / "evaluation" / "scores.csv")
    assert set(scores["patient"]) == set(Split.load(experiment / "split.json").test)
    means = scores.groupby("structure").mean(numeric_only=True)
    assert means["dsc"].mean() >= 0.87
    assert means["hd95_mm"]["bladder"] <= 6
    volumes = scores.groupby("structure")[["truth_cm3", "prediction_cm3"]].sum().loc["hr_ctv"]
    assert volumes["prediction_cm3"] >= 0.9 * volumes["truth_cm3"]
