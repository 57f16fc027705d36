"""A model states what it was trained on, and one of synthetic patients warns on a real scan."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from gynbtnet.imaging import Geometry, Volume, write_ct_series
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.manifest import MANIFEST
from gynbtnet.inference.models.evaluated_settings import evaluated_settings, save_evaluated_settings
from gynbtnet.inference.models.model_archive import open_archive, write_archive
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scan_prediction import predict_scan
from gynbtnet.runtime import BadInput
from gynbtnet.training import TrainingData, TrainingScans

GRID = Geometry((12, 24, 24), (3.0, 3.0, 3.0))


def scan(folder: Path, description: str) -> Path:
    array = np.random.default_rng(0).integers(-100, 200, GRID.shape).astype(np.int16)
    write_ct_series(
        Volume(array, GRID),
        folder,
        seed=1,
        patient_id="x",
        study_description=description,
        series_description=description,
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trained_on", "description", "warned"),
    [
        (TrainingData(12, 7, synthetic=True), "pelvis", True),
        (TrainingData(12, 7, synthetic=True), "SYNTHETIC pelvis", False),
        (TrainingData(12, 7, synthetic=False), "pelvis", False),
        (None, "pelvis", False),
    ],
)
def test_a_model_of_synthetic_patients_warns_on_a_real_scan(
    model_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    trained_on: TrainingData | None,
    description: str,
    warned: bool,
) -> None:
    if trained_on:
        trained_on.save(model_folder)
    model = load_model(model_folder)
    assert model.trained_on == trained_on
    settings = PredictionSettings(mirroring=False, device="cpu")
    request = PredictionRequest.from_path(
        model, scan(tmp_path / "ct", description), tmp_path / "out", settings=settings, check=False
    )
    out = predict_scan(model, request)
    manifest = json.loads((out / MANIFEST).read_text())
    words = "12 scans of 7 synthetic patients"
    assert any(words in warning for warning in manifest["warnings"]) == warned
    assert (words in caplog.text) == warned
    structures = pydicom.dcmread(out / "RS.dcm")
    assert ("TRAINED ON SYNTHETIC" in structures.SeriesDescription) == warned
    assert ("synthetic patients only" in structures.StructureSetDescription) == warned
    assert (manifest["model"]["trained_on"] or {}).get("scans") == (trained_on.scans if trained_on else None)


def test_zips_keep_what_a_model_was_trained_on_and_evaluated_with(model_folder: Path, tmp_path: Path) -> None:
    TrainingData(5, 3, synthetic=False).save(model_folder)
    TrainingScans(("aa",)).save(model_folder)
    save_evaluated_settings(PredictionSettings(mirroring=False, overlap=0.3, device="cpu"), model_folder)
    archive = write_archive(model_folder, tmp_path / "model.zip", weights="last")
    assert load_model(archive).trained_on == TrainingData(5, 3, synthetic=False)
    with open_archive(archive) as unpacked:
        assert TrainingScans.load(unpacked) == TrainingScans(("aa",))
    for path in (archive, model_folder):
        settings = evaluated_settings(path)
        assert settings is not None and (settings.mirroring, settings.overlap) == (False, 0.3)
        assert settings.device == "auto", "the machine of the evaluation doesn't matter"


def test_a_model_without_the_files_is_a_model(model_folder: Path) -> None:
    assert evaluated_settings(model_folder) is None
    for damaged in ("{", '{"scans": 3, "patients": -1, "synthetic": false}'):
        (model_folder / "training_data.json").write_text(damaged)
        with pytest.raises(BadInput, match=r"training_data\.json"):
            load_model(model_folder)


def test_folds_are_described_together() -> None:
    folds = [TrainingData(8, 4, synthetic=False), TrainingData(9, 5, synthetic=True)]
    assert TrainingData.of_folds(folds) == TrainingData(9, 5, synthetic=True)
    assert TrainingData.of_folds([*folds, None]) is None
    assert TrainingData.of_folds([]) is None
