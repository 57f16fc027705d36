import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from gynbtnet.imaging import Geometry, Volume, reorientation_between
from gynbtnet.inference.engine.logits_to_labels import logits_to_labels
from gynbtnet.inference.engine.predict import predict
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.sliding_window import Slab
from gynbtnet.inference.models.model import Model
from gynbtnet.preparation import load_plan, save_plan
from gynbtnet.runtime import BadInput

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
    """Return a ball of 15 mm radius and 300 HU in water, off centre, and its mask."""
    geometry = Geometry((20, 40, 50), spacing, (-31.0, 12.0, 7.0), direction)
    points = geometry.to_world(np.moveaxis(np.indices(geometry.shape), 0, -1))
    distance = np.linalg.norm(points - geometry.to_world((8, 22, 30)), axis=-1)
    return Volume((300 / (1 + np.exp((distance - 15) / 2))).astype(np.float32), geometry), distance < 15


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("spacing", [(3.0, 1.5, 1.0), (2.0, 2.0, 2.0)])
def test_labels_are_on_the_scan_s_own_grid(bright_model: Model, name: str, spacing: tuple[float, float, float]) -> None:
    volume, ball = bright_ball(DIRECTIONS[name], spacing)
    segmentation = predict(bright_model, volume, QUICK)
    assert segmentation.structures == ("bladder", "rectum")
    assert segmentation.labels.geometry == volume.geometry
    assert segmentation.labels.array.dtype == np.uint8
    # one deviation above the mean, the model's threshold, is a little outside the half height of the ball
    threshold = volume.array.mean() + volume.array.std()
    expected = volume.array > threshold
    mask = segmentation.mask("bladder")
    assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) > 0.97
    assert mask[ball].mean() > 0.97
    assert not segmentation.mask("rectum").any()


def in_slabs(logits: torch.Tensor, slices: int) -> list[Slab]:
    """Split logits as the sliding window does: each slab begins with the last slice of the previous one."""
    ends = [*range(slices, logits.shape[1], slices), logits.shape[1]]
    firsts = [0, *(end - 1 for end in ends[:-1])]
    return [Slab(first, logits[:, first:end]) for first, end in zip(firsts, ends, strict=True)]


@pytest.mark.parametrize("slices", [1, 3, 99])
@pytest.mark.parametrize("name", ["axial", "upside down", "sagittal"])
@pytest.mark.parametrize("smooth", [0.0, 2.0])
def test_labels_are_those_of_logits_at_full_resolution(slices: int, name: str, smooth: float) -> None:
    """Compare with PyTorch's trilinear interpolation of all logits, for noise and for a few large structures."""
    seen = Geometry((14, 15, 11), (3.0, 2.0, 2.5), (4.0, -3.0, 8.0), DIRECTIONS["axial"])
    target = seen.with_spacing((1.7, 0.9, 1.0))
    noise = np.random.default_rng(0).normal(size=(7, *seen.shape))
    logits = torch.from_numpy(20 * gaussian_filter(noise, (0, smooth, smooth, smooth))).half()
    expected_labels = (
        interpolate(logits[None].float(), target.shape, mode="trilinear", align_corners=False)[0].argmax(0).numpy()
    )
    reorientation = reorientation_between(target, replace(target, direction=DIRECTIONS[name]))
    expected_labels, target = reorientation.array(expected_labels), reorientation.geometry(target)
    segmentation = logits_to_labels(target, in_slabs(logits, slices), seen)
    assert (segmentation == expected_labels).mean() > 0.9995  # ties of rounding


def test_nothing_is_predicted_outside_the_roi() -> None:
    target = Geometry((20, 12, 12), (1.0, 1.0, 1.0))
    part = Geometry((4, 6, 6), (2.0, 1.0, 1.0), tuple(target.to_world((6.5, 0, 3)).tolist()))
    logits = torch.zeros(3, 4, 6, 6).half()
    logits[:2] = -1
    labels = logits_to_labels(target, in_slabs(logits, 2), part)
    expected = np.zeros(target.shape, np.uint8)
    expected[6:14, 0:6, 3:9] = 2
    np.testing.assert_array_equal(labels, expected)


def test_a_scan_smaller_than_the_window(bright_model: Model) -> None:
    geometry = Geometry((4, 6, 5), (2.0, 2.0, 2.0))
    image = np.zeros(geometry.shape, np.float32)
    image[1:3, 2:4, 1:4] = 500
    segmentation = predict(bright_model, Volume(image, geometry), QUICK)
    np.testing.assert_array_equal(segmentation.mask("bladder"), image > 0)


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
    save_plan(replace(load_plan(model_folder), structures=()), model_folder)
    with pytest.raises(BadInput, match=r"names no structures, so it belongs to a pretraining run or was edited"):
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


def test_the_folder_of_an_experiment_leads_to_its_model(model_folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(model_folder, tmp_path / "experiment" / "runs" / "task")
    (tmp_path / "experiment" / "runs" / "pretraining").mkdir()
    for folder in (tmp_path / "experiment", tmp_path / "experiment" / "runs" / "pretraining"):
        with pytest.raises(BadInput, match=rf"The model of this experiment is {model}\."):
            Model.load(folder)


def test_damaged_weights_are_reported(model_folder: Path) -> None:
    weights = model_folder / "weights_last.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadInput, match=r"is damaged|does not hold the weights"):
        Model.load(model_folder)


def test_weights_of_another_plan_are_reported(model_folder: Path) -> None:
    dataset = model_folder / "dataset.json"
    dataset.write_text(dataset.read_text().replace('"rectum": 2', '"rectum": 2, "sigmoid": 3'))
    with pytest.raises(BadInput, match="3 structures"):
        Model.load(model_folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_an_absent_device_is_reported(model_folder: Path) -> None:
    with pytest.raises(BadInput, match="no CUDA device"):
        Model.load(model_folder, device="cuda")
