"""A node predicts with the settings that the model was evaluated with, as ``gynbtnet predict`` does."""

import json
from pathlib import Path

import pytest

from gynbtnet.imaging import Repairs
from gynbtnet.inference import PredictionRequest, PredictionSettings
from gynbtnet.node import prediction_job
from gynbtnet.node.jobs import Job


@pytest.mark.parametrize("evaluated", [None, {"weights": "best", "mirroring": False, "overlap": 0.3, "roi": "pelvis"}])
@pytest.mark.parametrize("fast", [False, True])
def test_settings_of_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluated: dict[str, object] | None, fast: bool
) -> None:
    if evaluated:
        (tmp_path / "prediction_settings.json").write_text(json.dumps(evaluated))
    loaded, requested = [], []
    monkeypatch.setattr(prediction_job, "load_model", lambda _, settings: loaded.append(settings))
    monkeypatch.setattr(prediction_job, "predict_scan", lambda *_: None)
    monkeypatch.setattr(PredictionRequest, "from_path", lambda *_, settings, repairs: requested.append(settings))
    prediction_job.predict_job(
        Job("a", "b", "1", tmp_path, tmp_path / "out", tmp_path, fast, "compiled", ("nifti",), Repairs())
    )
    quick = {"folds": 1, "mirroring": False, "overlap": 0.25} if fast else {}
    expected = PredictionSettings.model_validate(
        {"outputs": ("nifti",), "backend": "compiled"} | (evaluated or {}) | quick
    )
    assert loaded == requested == [expected]
