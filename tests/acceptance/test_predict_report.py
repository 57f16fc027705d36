"""``gynbtnet predict`` ends with what to review, and takes single settings."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.imaging import Geometry, Volume, write_volume
from gynbtnet.inference import PredictionSettings
from gynbtnet.training import TrainingData

GRID = Geometry((24, 40, 40), (4.0, 3.0, 3.0))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    array = np.random.default_rng(0).integers(-100, 200, GRID.shape).astype(np.int16)
    write_volume(Volume(array, GRID), tmp_path / "pelvis.nii.gz")
    return tmp_path / "pelvis.nii.gz"


def test_the_last_line_tells_what_to_review(gynbtnet, untrained_model: Path, scan: Path, tmp_path: Path) -> None:
    result = gynbtnet("predict", untrained_model, scan, "--out", tmp_path / "out", "--no-mirroring")
    assert result.code == 0, result.err
    lines = result.out.strip().splitlines()
    assert "structure" in lines[-3] and "predicted DSC" in lines[-3] and "flags" in lines[-3]
    assert lines[-2].split()[0] == "Bladder" and "not calibrated" in lines[-2]
    manifest = json.loads((tmp_path / "out" / "pelvis" / "prediction.json").read_text())
    assert manifest["settings"]["mirroring"] is False
    if manifest["flags"]:
        assert lines[-1] == "1 of 1 structure flagged: review before use"
    again = gynbtnet("predict", untrained_model, scan, "--out", tmp_path / "out", "--no-mirroring")
    assert again.out.strip().splitlines()[-1] == lines[-1], "a prediction that is kept is reported too"


def test_a_scan_that_failed_is_not_reported_as_done(
    gynbtnet, untrained_model: Path, scan: Path, tmp_path: Path
) -> None:
    """Its folder has the prediction of an earlier call."""
    out = tmp_path / "out"
    gynbtnet("predict", untrained_model, scan, "--out", out, "--no-mirroring")
    (out / "pelvis" / "review" / "001").mkdir(parents=True)
    refused = gynbtnet("predict", untrained_model, scan, "--out", out, "--fast", "--force")
    assert refused.code == 2 and "has a review, which would be lost" in refused.err
    assert refused.out == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "overlap"), [(["prediction.overlap=0.25"], 0.25), (["overlap=0.3", "mirroring=false"], 0.3)]
)
def test_settings_of_the_model_can_be_changed(
    gynbtnet, untrained_model: Path, scan: Path, tmp_path: Path, changes: list[str], overlap: float
) -> None:
    options = [word for change in changes for word in ("--set", change)]
    result = gynbtnet("predict", untrained_model, scan, "--out", tmp_path / "out", "--fast", *options)
    assert result.code == 0, result.err
    refused = gynbtnet("predict", untrained_model, scan, "--out", tmp_path / "o", "--set", "overlapp=1")
    assert refused.code == 2 and "overlapp" in refused.err and "mirroring" in refused.err


@pytest.mark.slow
def test_many_scans_get_a_line_each(gynbtnet, untrained_model: Path, scan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(6):
        array = np.random.default_rng(number).integers(-1000, 200, GRID.shape).astype(np.int16)
        write_volume(Volume(array, GRID), folder / f"p{number}.nii.gz")
    result = gynbtnet("predict", untrained_model, folder, "--out", tmp_path / "out", "--fast")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert sum(line.endswith("flagged: review before use") or "None of" in line for line in lines) == 6


def test_an_evaluated_model_is_used_as_it_was_evaluated(
    gynbtnet, untrained_model: Path, scan: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(untrained_model, tmp_path / "model")
    settings = PredictionSettings(mirroring=False, overlap=0.25)
    (model / "prediction_settings.json").write_text(settings.model_dump_json(include={"mirroring", "overlap"}))
    TrainingData(3, 2, synthetic=True).save(model)
    result = gynbtnet("predict", model, scan, "--out", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "pelvis" / "prediction.json").read_text())
    assert (manifest["settings"]["mirroring"], manifest["settings"]["overlap"]) == (False, 0.25)
    assert "The model was trained on 3 scans of 2 synthetic patients." in " ".join(result.err.split())
