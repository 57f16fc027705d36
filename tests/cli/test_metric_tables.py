"""Tables of metrics on a terminal."""

import pandas as pd
import pytest

from gynbtnet.cli.metric_tables import print_metrics

VALUES = {"dsc_mean": 0.876, "dsc_sd": 0.034, "dsc_median": 0.88, "dsc_q1": 0.86, "dsc_q3": 0.9, "dsc_mark": "†"}
COUNTS = {"missed": 0, "false": 1, "absent": 0, "unknown": 0, "cases": 120}


def summary(**more: str) -> dict[str, object]:
    return {"structure": "hr_ctv", **more, **COUNTS, **VALUES}


def test_models_are_below_their_structure_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    models = ("gynbtnet", "gynbtnet-from-scratch")
    rows = [summary(model=model) | {"structure": name} for name in ("hr_ctv", "uterus") for model in models]
    print_metrics(pd.DataFrame(rows), ["dsc"])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines] == ["DSC", "structure", "HR-CTV", *models, "Uterus", *models]
    assert lines[2] == "HR-CTV"
    assert lines[3].split()[1:] == ["0", "1", "120", "0.876", "±", "0.034†", "0.880", "[0.860,", "0.900]"]


def test_one_model_has_a_row_a_structure(capsys: pytest.CaptureFixture[str]) -> None:
    print_metrics(pd.DataFrame([summary()]), ["dsc"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["DSC", "structure", "HR-CTV"]
    assert max(map(len, lines)) <= 80
