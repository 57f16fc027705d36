"""Stored scores are read as they were written, and refused if a number or a name is impossible."""

from dataclasses import asdict, fields
from math import inf, nan
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.score_table import METRICS, score_table
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.metrics.stored_scores import read_scores
from gynbtnet.runtime import BadInput

SHARES = ("dsc", "surface_dsc", "added_path_length_share", "added_path_length_1_voxel_share")
VALUES: dict[str, Any] = {
    "case": "p1_f1",
    "patient": "p1",
    "structure": "bladder",
    "missing_in": "none",
    "truth_cm3": 50.0,
    "prediction_cm3": 48.0,
    **dict.fromkeys(METRICS, 0.25),
}
NOT_SCORED = dict.fromkeys(METRICS, nan)
SCORED = Score(**VALUES)
UNKNOWN = Score(**VALUES | NOT_SCORED | {"structure": "uterus", "missing_in": "unknown", "truth_cm3": nan})
DROPPED = Score(**VALUES | NOT_SCORED | {"missing_in": "prediction", "prediction_cm3": 0.0})


def stored(path: Path, *scores: Score, policy: str = "worst") -> Path:
    settings = ScoringSettings(missing_structure_policy=policy)
    columns = pd.DataFrame([settings.columns_of("bladder")] * len(scores))
    table = pd.concat([score_table(scores), columns], axis=1)
    table.to_csv(path / "scores.csv", index=False)
    return path / "scores.csv"


def test_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    scores, settings = read_scores(stored(tmp_path, SCORED, UNKNOWN))
    assert scores[0] == SCORED
    assert settings == ScoringSettings()
    pd.testing.assert_series_equal(pd.Series(asdict(scores[1])), pd.Series(asdict(UNKNOWN)))


def test_a_structure_that_the_policy_drops_has_no_metrics(tmp_path: Path) -> None:
    read_scores(stored(tmp_path, DROPPED, policy="drop"))
    with pytest.raises(BadInput, match="no dsc for bladder of p1_f1, although the structure is scored; run"):
        read_scores(stored(tmp_path, DROPPED))


@pytest.mark.parametrize(
    "name", [field.name for field in fields(Score) if field.type == "float" or field.type is float]
)
def test_an_impossible_number_is_refused(name: str, tmp_path: Path) -> None:
    wrong = [nan, inf]
    wrong += [] if name == "volume_difference_cm3" else [-0.5]
    wrong += [1.5] if name in SHARES else []
    for value in wrong:
        path = stored(tmp_path, Score(**VALUES | {name: value}))
        with pytest.raises(BadInput, match=rf"scores\.csv has (no|a) {name} .*for bladder of p1_f1"):
            read_scores(path)


@pytest.mark.parametrize("name", ["case", "patient", "structure"])
def test_a_row_without_a_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=rf"has a row without {name}"):
        read_scores(stored(tmp_path, Score(**VALUES | {name: " "})))
