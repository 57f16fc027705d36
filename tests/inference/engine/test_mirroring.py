"""Prediction mirrors the axes of training, and swaps sides if training did."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gynbtnet.imaging import Geometry, Volume, mirrored_labels, write_volume
from gynbtnet.inference.engine.mirroring import tta_axes, tta_signature, with_tta_axes
from gynbtnet.inference.engine.predict import predict
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.test_time_augmentation import AveragedForward
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.models.nnunet_export import export_nnunet
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scan_prediction import predict_scan
from gynbtnet.preparation import Axis, load_plan, save_plan
from gynbtnet.runtime import BadInput

SIDED = ("bladder", "hip_left", "hip_right")
WHOLE = (slice(None),) * 3


def trained_with(folder: Path, axes: Sequence[Axis], **changes: object) -> Path:
    save_plan(replace(load_plan(folder), mirror_axes=tuple(axes), **changes), folder)  # type: ignore[arg-type]
    return folder


class Sides(torch.nn.Module):
    """Knows bright voxels by their position, like a network that learned sides: left at high x, right at low x."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(image.clone())
        left = (torch.arange(image.shape[-1]) >= image.shape[-1] // 2).float().expand_as(image)
        bright = (image > 0).float()
        return torch.cat([1 - bright, torch.full_like(image, -9), bright * left * 2, bright * (1 - left) * 2], 1)


@pytest.mark.parametrize("axes", [(2,), (0, 1), (0, 1, 2)])
def test_mirrored_forward_passes_keep_left_and_right(axes: tuple[int, ...]) -> None:
    """All forward passes of a network that knows the sides agree if sides are swapped; otherwise they cancel out."""
    image = torch.randn(1, 1, 4, 6, 8)
    image[..., 4:] += 0.5  # unlike its mirror image
    expected = Sides()(image).argmax(1)
    logits = AveragedForward([Sides()], axes, mirrored_labels(SIDED))(image, WHOLE)
    assert torch.equal(logits.argmax(1), expected)
    torch.testing.assert_close(logits, Sides()(image))
    if 2 in axes:
        assert not torch.allclose(AveragedForward([Sides()], axes)(image, WHOLE), Sides()(image))


@pytest.mark.parametrize(
    "direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, -1, 0, 0, 0, 1), (0, 0, 1, 1, 0, 0, 0, 1, 0)]
)
def test_the_mirrored_axis_is_the_patients_in_any_scan(model_folder: Path, direction: tuple[float, ...]) -> None:
    """Axial, rotated by 180° and sagittal: the window is mirrored along the patient's left and right."""
    trained_with(model_folder, ("x",))
    model = Model.load(model_folder)
    network = Sides()
    network.forward = lambda image: (network.seen.append(image.clone()), torch.zeros(1, 3, *image.shape[2:]))[1]  # type: ignore[method-assign]
    object.__setattr__(model, "network", network)
    geometry = Geometry((24, 24, 24), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), tuple(map(float, direction)))
    left = geometry.to_world(np.moveaxis(np.indices(geometry.shape), 0, -1))[..., 0]  # LPS: x runs to the left
    predict(model, Volume(left.astype(np.float32), geometry), PredictionSettings(roi="whole", overlap=0))
    steps = {float(torch.sign((image[..., 12] - image[..., 11]).mean())) for image in network.seen}
    assert steps == {1.0, -1.0}
    for image in network.seen:  # and along no other axis
        assert torch.equal(image[0, 0, 10, 10], image[0, 0, 11, 11])


def test_left_out_they_are_those_of_the_training(model_folder: Path) -> None:
    settings = PredictionSettings()
    assert tta_axes(settings, ("z", "x"), "m") == ("z", "x")
    assert tta_axes(PredictionSettings(mirrored_axes=("x",)), ("z", "x"), "m") == ("x",)
    assert tta_axes(settings, (), "m") == ()
    assert tta_axes(settings.fast(), ("x",), "m") == ()
    plan = load_plan(model_folder)
    assert tta_signature(settings, replace(plan, mirror_axes=("x",))) == "1, mirrored x"
    assert tta_signature(settings, replace(plan, mirror_axes=())) == "1, mirrored nothing"
    assert with_tta_axes(settings, (), "m").mirroring is False
    assert with_tta_axes(settings, ("y",), "m").mirrored_axes == ("y",)


def test_an_axis_that_was_not_mirrored_is_refused(model_folder: Path) -> None:
    trained_with(model_folder, ("x",))
    asked = PredictionSettings(mirrored_axes=("z", "x"))
    volume = Volume(np.zeros((16, 32, 32), np.float32), Geometry((16, 32, 32), (2.0, 2.0, 2.0)))
    sentence = "mirrored_axes asks for z, x, but .* was trained with x mirrored; leave mirrored_axes out"
    with pytest.raises(BadInput, match=sentence):
        load_model(model_folder, asked)
    with pytest.raises(BadInput, match=sentence):
        predict(Model.load(model_folder), volume, asked)
    load_model(model_folder, asked.fast())


def test_plans_from_before_mirrored_all_axes(model_folder: Path) -> None:
    content = json.loads((model_folder / "plans.json").read_text())
    del content["gynbtnet"]["mirror_axes"], content["gynbtnet"]["sides_swapped"]
    (model_folder / "plans.json").write_text(json.dumps(content))
    plan = load_plan(model_folder)
    assert (plan.mirror_axes, plan.sides_swapped) == (("z", "y", "x"), False)


@pytest.mark.parametrize("axes", [["w"], ["x", "z"], ["x", "x"], "zyx", 3, None])
def test_a_plan_with_other_axes_is_refused(model_folder: Path, axes: object) -> None:
    content = json.loads((model_folder / "plans.json").read_text())
    content["gynbtnet"]["mirror_axes"] = axes
    (model_folder / "plans.json").write_text(json.dumps(content))
    with pytest.raises(BadInput, match="is not a plan that GynBTNet can follow"):
        load_plan(model_folder)


def test_the_record_of_a_prediction_names_the_axes(model_folder: Path, tmp_path: Path) -> None:
    trained_with(model_folder, ("y",))
    array = np.random.default_rng(0).normal(0, 100, (16, 32, 32)).astype(np.float32)
    write_volume(Volume(array, Geometry(array.shape, (2.0, 2.0, 2.0))), tmp_path / "scan.nii.gz")
    model = load_model(model_folder)
    for settings, expected in (
        (PredictionSettings(preview=False), (True, ["y"])),
        (PredictionSettings(preview=False).fast(), (False, None)),
    ):
        request = PredictionRequest.from_path(
            model, tmp_path / "scan.nii.gz", tmp_path / f"{settings.mirroring}", settings=settings, check=False
        )
        out = predict_scan(model, request)
        record = json.loads((out / "prediction.json").read_text())["settings"]
        assert (record["mirroring"], record["mirrored_axes"]) == expected


@pytest.mark.parametrize(
    ("axes", "swapped", "expected"),
    [
        (("z", "y", "x"), False, (0, 1, 2)),
        (("x",), False, (2,)),
        ((), False, None),
        (("y", "x"), True, (1,)),
        (("x",), True, None),
    ],
)
def test_nnunet_gets_the_axes_that_it_may_mirror(
    model_folder: Path, tmp_path: Path, axes: tuple[Axis, ...], swapped: bool, expected: tuple[int, ...] | None
) -> None:
    """It can't swap labels, so it doesn't mirror x if that is necessary."""
    trained_with(model_folder, axes, sides_swapped=swapped)
    folder = export_nnunet(Model.load(model_folder, device="cpu"), tmp_path / "nnunet")
    content = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)
    assert content["inference_allowed_mirroring_axes"] == expected
