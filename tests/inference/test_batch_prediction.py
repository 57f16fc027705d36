"""Many scans give the same results as each scan alone, even if some of them fail."""

from pathlib import Path

import numpy as np
import pytest

from gynbtnet.imaging import read_volume, write_volume
from gynbtnet.inference import batch_prediction
from gynbtnet.inference.batch_prediction import predict_scans
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scans.scan_input import locate_scan
from gynbtnet.runtime import BadInput, ScansFailed, use_cluster

from .test_scan_prediction import predict_path, scan

QUICK = PredictionSettings(mirroring=False)


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    """Three scans of balls at different positions, and one file that isn't a scan."""
    whole = scan()
    paths = [tmp_path / f"{number}.nii.gz" for number in range(4)]
    for number, path in enumerate(paths):
        write_volume(type(whole)(np.roll(whole.array, 2 * number, 1), whole.geometry), path)
    paths[1].write_bytes(paths[1].read_bytes()[:100])
    return paths


def requests(scans: list[Path], out: Path) -> dict[str, PredictionRequest]:
    return {path.name: PredictionRequest(locate_scan(path, ("CT",)), out / path.name, QUICK) for path in scans}


def labels(folder: Path) -> np.ndarray:
    return read_volume(folder / "labels.nii.gz").array


@pytest.mark.slow
def test_overlapped_predictions_equal_single_ones(bright_model: Model, scans: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ScansFailed, match=r"2 of 5 scans failed") as caught:
        predict_scans(bright_model, bright_model.folder, requests(scans, out), failed=[("elsewhere", "is damaged")])
    assert [name for name, _ in caught.value.failed] == ["elsewhere", "1.nii.gz"]
    assert "damaged or cut short" in caught.value.failed[1][1]
    assert sorted(path.name for path in out.iterdir()) == ["0.nii.gz", "2.nii.gz", "3.nii.gz"]
    for path in (scans[0], scans[2], scans[3]):
        alone = predict_path(bright_model, path, tmp_path / "alone" / path.name, settings=QUICK)
        assert labels(alone).any()
        assert np.array_equal(labels(out / path.name), labels(alone))


def test_a_single_failed_scan_gives_one_sentence(bright_model: Model, scans: list[Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="damaged or cut short"):
        predict_scans(bright_model, bright_model.folder, requests(scans[1:2], tmp_path / "out"))


@pytest.mark.slow
def test_in_processes_each_loads_the_model(model_folder: Path, scans: list[Path], tmp_path: Path) -> None:
    model = load_model(model_folder)
    readable = [scans[0], scans[2]]
    predict_scans(model, model_folder, requests(readable, tmp_path / "out"), jobs=2)
    for path in readable:
        alone = predict_path(model, path, tmp_path / "alone" / path.name, settings=QUICK)
        assert np.array_equal(labels(tmp_path / "out" / path.name), labels(alone))


@pytest.mark.slow
def test_workers_of_a_cluster_contour_what_this_process_contours(
    model_folder: Path, scans: list[Path], scheduler: str, tmp_path: Path
) -> None:
    model, out = load_model(model_folder), tmp_path / "out"
    with use_cluster(scheduler), pytest.raises(ScansFailed, match=r"1 of 4 scans failed.*\n  1\.nii\.gz: "):
        predict_scans(model, model_folder, requests(scans, out), on_cluster=True)
    assert sorted(path.name for path in out.iterdir()) == ["0.nii.gz", "2.nii.gz", "3.nii.gz"]
    for path in (scans[0], scans[2], scans[3]):
        alone = predict_path(model, path, tmp_path / "alone" / path.name, settings=QUICK)
        assert np.array_equal(labels(out / path.name), labels(alone))


def test_an_unexpected_error_of_a_single_scan_is_one_sentence(
    bright_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OverflowError("Roe^Jane")

    monkeypatch.setattr(batch_prediction, "predict_scan", fail)
    with pytest.raises(BadInput, match=r"An unexpected OverflowError in test_batch_prediction\.py, line") as caught:
        predict_scans(bright_model, bright_model.folder, {"scan": None})
    assert "Roe" not in str(caught.value)
