import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn.functional import interpolate

from gynbtnet.errors import BadInput
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference import predict as predict_module
from gynbtnet.inference.model import Model
from gynbtnet.inference.predict import labels_on, predict
from gynbtnet.inference.settings import PredictionSettings
from gynbtnet.preparation.plan import Plan

QUICK = PredictionSettings(mirroring=False)
DIRECTIONS = {
    "axial": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    "tilted": (0.8, 0.0, 0.6, 0.0, 1.0, 0.0, -0.6, 0.0, 0.8),
    "upside down": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0),
    "sagittal": (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
}


def bright_ball(
    direction: tuple[float, ...], spacing: tuple[float, float, float] = (3.0, 1.5, 1.0)
) -> tuple[Volume, npt.NDArray[np.bool_]]:
    """A ball of 15 mm radius and 300 HU in water, off centre, and its mask."""
    geometry = Geometry((20, 40, 50), spacing, (-31.0, 12.0, 7.0), direction)
    points = geometry.to_world(np.moveaxis(np.indices(geometry.shape), 0, -1))
    distance = np.linalg.norm(points - geometry.to_world((8, 22, 30)), axis=-1)
    return Volume((300 / (1 + np.exp((distance - 15) / 2))).astype(np.float32), geometry), distance < 15


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("spacing", [(3.0, 1.5, 1.0), (2.0, 2.0, 2.0)])
def test_contours_lie_on_the_scan_s_own_grid(
    bright_model: Model, name: str, spacing: tuple[float, float, float]
) -> None:
    volume, ball = bright_ball(DIRECTIONS[name], spacing)
    found = predict(bright_model, volume, QUICK)
    assert found.structures == ("bladder", "rectum")
    assert found.labels.geometry == volume.geometry
    assert found.labels.array.dtype == np.uint8
    # one deviation above the mean, the model's threshold, lies a little outside the half height of the ball
    threshold = volume.array.mean() + volume.array.std()
    expected = volume.array > threshold
    mask = found.mask("bladder")
    assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) > 0.97
    assert mask[ball].mean() > 0.97
    assert not found.mask("rectum").any()


def test_slab_by_slab_equals_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Geometry((23, 30, 28), (1.7, 1.0, 0.9), (4.0, -3.0, 8.0), DIRECTIONS["tilted"])
    source = target.with_spacing((3.0, 2.0, 2.5))
    logits = np.random.default_rng(0).normal(size=(4, *source.shape)).astype(np.float32)
    at_once = labels_on(target, logits, source)
    monkeypatch.setattr(predict_module, "_SLAB_BYTES", 4 * 4 * 30 * 28 * 3)
    np.testing.assert_array_equal(labels_on(target, logits, source), at_once)
    theirs = interpolate(torch.from_numpy(logits)[None], target.shape, mode="trilinear", align_corners=False)[0]
    assert (at_once == theirs.argmax(0).numpy()).mean() > 0.9999  # ties of rounding


def test_a_scan_smaller_than_the_window(bright_model: Model) -> None:
    geometry = Geometry((4, 6, 5), (2.0, 2.0, 2.0))
    image = np.zeros(geometry.shape, np.float32)
    image[1:3, 2:4, 1:4] = 500
    found = predict(bright_model, Volume(image, geometry), QUICK)
    np.testing.assert_array_equal(found.mask("bladder"), image > 0)


def test_a_real_network_runs_and_mirroring_changes_little_but_something(model_folder: Path) -> None:
    model = Model.load(model_folder, device="cpu")
    random = np.random.default_rng(0).normal(size=(16, 32, 36)).astype(np.float32)
    volume = Volume(random, Geometry(random.shape, (2.0, 2.0, 2.0)))
    plain, mirrored = (predict(model, volume, PredictionSettings(mirroring=m)).labels.array for m in (False, True))
    assert plain.shape == mirrored.shape == volume.array.shape
    assert not np.array_equal(plain, mirrored)


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a model"):
        Model.load(tmp_path)


def test_a_pretraining_run_contours_nothing(model_folder: Path) -> None:
    replace(Plan.load(model_folder), structures=()).save(model_folder)
    with pytest.raises(BadInput, match=r"names no structures: a pretraining run, .* or an edited file"):
        Model.load(model_folder)


def test_best_weights_are_asked_for_by_name(model_folder: Path) -> None:
    with pytest.raises(BadInput, match=r"no .*weights_best"):
        Model.load(model_folder, weights="best")
    shutil.copy(model_folder / "weights_last.safetensors", model_folder / "weights_best.safetensors")
    assert Model.load(model_folder, weights="best").weights == "weights_best.safetensors"


@pytest.mark.parametrize("weights", ["last", "best"])
def test_a_run_that_has_not_ended_is_no_model(model_folder: Path, weights: Literal["last", "best"]) -> None:
    (model_folder / "weights_last.safetensors").rename(model_folder / "weights_best.safetensors")
    with pytest.raises(BadInput, match=r"no .*weights_last.* finished training run"):
        Model.load(model_folder, weights=weights)


def test_damaged_weights_are_told(model_folder: Path) -> None:
    weights = model_folder / "weights_last.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadInput, match="is damaged, or not the weights"):
        Model.load(model_folder)


def test_weights_of_another_plan_are_told(model_folder: Path) -> None:
    dataset = model_folder / "dataset.json"
    dataset.write_text(dataset.read_text().replace('"rectum": 2', '"rectum": 2, "sigmoid": 3'))
    with pytest.raises(BadInput, match="3 structures"):
        Model.load(model_folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_an_absent_device_is_told(model_folder: Path) -> None:
    with pytest.raises(BadInput, match="no CUDA device"):
        Model.load(model_folder, device="cuda")
