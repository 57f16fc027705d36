"""A review that is being written, or was left by a kill, is no review."""

import shutil
from collections.abc import Callable
from pathlib import Path

from gynbtnet.review.finished_reviews import finished_reviews
from gynbtnet.review.worklist import list_predictions


def test_reviews_in_hidden_folders_are_left_out(make_prediction: Callable[..., Path]) -> None:
    prediction = make_prediction("case-1")
    root = prediction.parent
    partial = prediction / "review" / ".partial-001" / "review.json"
    partial.parent.mkdir(parents=True)
    partial.write_text("{}")
    shutil.copytree(prediction, root / ".replaced-case-1")
    assert finished_reviews(root) == []
    (item,) = list_predictions(root)
    assert not item.is_written
    partial.parent.rename(prediction / "review" / "001")
    assert finished_reviews(root) == [prediction / "review" / "001" / "review.json"]
    assert finished_reviews(prediction / "review" / "001") == finished_reviews(root)
    (item,) = list_predictions(root)
    assert item.is_written
