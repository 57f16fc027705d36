"""Labels and channels of a dataset.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from gynbtnet.datasets.adapters.dataset_json import DatasetJson
from gynbtnet.runtime import BadInput

GOOD: dict[str, Any] = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "bladder": 1, "rectum": 2}}


def test_both_forms_are_read_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(GOOD))
    new = DatasetJson.load(tmp_path)
    older = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "bladder", "2": "rectum"}}
    (tmp_path / "dataset.json").write_text(json.dumps(older))
    old = DatasetJson.load(tmp_path)
    assert (new.channels, new.labels) == (old.channels, old.labels) == (("CT",), {"bladder": 1, "rectum": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_names": {}}, "can't be read"),
        ({"channel_names": []}, "can't be read"),
        ({"labels": {"bladder": -1}}, "numbers its labels -1"),
        ({"labels": {"bladder": 10**30}}, "numbers its labels 100000000;"),
        ({"labels": {"bladder": 1, "rectum": 1}}, "numbers its labels 1, 1; expected"),
        ({"labels": {"bladder": True}}, "has the label bladder, which is to be ignored or no number"),
    ],
)
def test_unusable_labels_and_channels_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(GOOD | change))
    with pytest.raises(BadInput, match=message):
        DatasetJson.load(tmp_path)
