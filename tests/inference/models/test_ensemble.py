"""Several folds as one model: the averaged logits, and the agreement of the forward passes."""

import math
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gynbtnet.imaging import Geometry, Volume
from gynbtnet.inference.engine.predict import predict
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.test_time_augmentation import AveragedForward
from gynbtnet.inference.models.ensemble import Ensemble
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.preparation import load_plan, save_plan
from gynbtnet.runtime import BadInput

WHOLE = (slice(None),) * 3
QUICK = PredictionSettings(mirroring=False, device="cpu")


@pytest.fixture
def folds(model_folder: Path, tmp_path: Path) -> Path:
    """Three folds with different weights, as after a cross-validation."""
    weights = load_file(model_folder / "weights_last.safetensors")
    for fold in (0, 1, 10):
        shutil.copytree(model_folder, tmp_path / "folds" / f"fold_{fold}")
        torch.manual_seed(fold)
        changed = {name: value * (1 + 0.2 * torch.randn(value.shape)) for name, value in weights.items()}
        save_file(changed, tmp_path / "folds" / f"fold_{fold}" / "weights_last.safetensors")
    (tmp_path / "folds" / "predictions").mkdir()
    return tmp_path / "folds"


def scan() -> Volume:
    array = np.random.default_rng(0).normal(0, 100, (16, 32, 32)).astype(np.float32)
    return Volume(array, Geometry(array.shape, (2.0, 2.0, 2.0)))


def test_an_ensemble_predicts_the_highest_mean_logit(folds: Path) -> None:
    ensemble = load_model(folds, QUICK)
    assert isinstance(ensemble, Ensemble)
    assert [member.folder.name for member in ensemble.members] == ["fold_0", "fold_1", "fold_10"]
    assert ensemble.structures == ("bladder", "rectum")
    assert len(ensemble.sha256) == 64
    image = torch.from_numpy(scan().array)[None, None]
    image = (image - image.mean()) / image.std(correction=0)
    with torch.no_grad():
        logits = torch.stack([cast(Model, member).network(image)[0] for member in ensemble.members])
    result = ensemble.segment([scan()], QUICK)
    labels = result.segmentation.labels.array
    assert (labels == logits.mean(0).argmax(0).numpy()).mean() > 0.999
    assert (labels != logits[0].argmax(0).numpy()).mean() > 0.01
    for label, structure in enumerate(ensemble.structures, start=1):
        mean = logits.mean(0).argmax(0) == label
        passes = [logit.argmax(0) == label for logit in logits]
        dice = [2 * (logit & mean).sum() / (logit.sum() + mean.sum()) for logit in passes]
        assert result.agreement[structure] == pytest.approx(float(np.mean(dice)), abs=1e-6)


def test_the_settings_choose_the_number_of_folds(folds: Path) -> None:
    first = load_model(folds, QUICK.fast())
    assert isinstance(first, Ensemble)
    assert len(first.members) == 1
    alone = load_model(folds / "fold_0", QUICK)
    assert isinstance(alone, Model)
    fast = PredictionSettings(device="cpu").fast()
    assert (fast.folds, fast.mirroring, fast.overlap) == (1, False, 0.25)
    expected = predict(alone, scan(), fast).labels.array
    assert np.array_equal(predict(first, scan(), fast).labels.array, expected)
    whole = load_model(folds, QUICK)
    assert np.array_equal(predict(whole, scan(), fast).labels.array, expected)
    assert first.segment([scan()], fast).agreement.keys() == {"bladder", "rectum"}
    assert all(math.isnan(value) for value in first.segment([scan()], fast).agreement.values())


def test_folds_of_different_plans_are_no_ensemble(folds: Path) -> None:
    save_plan(replace(load_plan(folds / "fold_1"), spacing=(3.0, 2.0, 2.0)), folds / "fold_1")
    with pytest.raises(BadInput, match=r"fold_1 was trained by another plan than .*fold_0"):
        load_model(folds, QUICK)


def test_an_unfinished_fold_is_reported(folds: Path) -> None:
    (folds / "fold_1" / "weights_last.safetensors").unlink()
    with pytest.raises(BadInput, match=r"There is no .*fold_1"):
        load_model(folds, QUICK)
    with pytest.raises(BadInput, match="expected a model"):
        load_model(folds / "predictions", QUICK)


@pytest.mark.parametrize("axes", [(), (2,), (0, 2), (0, 1, 2)])
def test_forward_passes_are_averaged_over_chosen_mirror_images(axes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    networks = [torch.nn.Conv3d(1, 3, 3, padding=1) for _ in range(2)]
    image = torch.randn(1, 1, 6, 7, 8)
    flips = [[axis + 2 for axis in chosen] for n in range(len(axes) + 1) for chosen in combinations(axes, n)]
    with torch.inference_mode():
        result = AveragedForward(networks, axes)(image, WHOLE)
        every = [network(image.flip(flip)).flip(flip) for network in networks for flip in flips]
    assert len(every) == 2 ** (len(axes) + 1)
    torch.testing.assert_close(result, torch.stack(every).mean(0))


def test_agreement_counts_each_cell_once_and_is_nan_for_empty_structures() -> None:
    """Two forward passes by hand: one predicts voxels 0 to 3, the other 2 to 5, their mean 0 to 5 except 4."""
    logits = torch.zeros(2, 1, 4, 1, 1, 8)
    logits[0, 0, 1, ..., 0:4] = 3
    logits[1, 0, 1, ..., 2:6] = 3
    logits[1, 0, 0, ..., 4] = 2
    logits[1, 0, 1, ..., 4] = 2.5
    logits[0, 0, 0, ..., 4] = 1
    passes = AveragedForward([lambda image: logits[0].clone(), lambda image: logits[1].clone()])
    passes(torch.zeros(1, 1, 1, 1, 8), (slice(None), slice(None), slice(0, 6)))
    agreement = passes.agreement(("a", "b", "c"))
    # mean: 0, 1, 2, 3, 5; the first draws 4 of these, the second 2, 3, 5 and one more
    assert agreement["a"] == pytest.approx((2 * 4 / (4 + 5) + 2 * 3 / (4 + 5)) / 2)
    assert math.isnan(agreement["b"])
    assert math.isnan(agreement["c"])


@pytest.mark.slow
def test_backends_draw_the_same(model_folder: Path) -> None:
    pytest.importorskip("openvino")
    model = Model.load(model_folder, device="cpu")
    expected = predict(model, scan(), QUICK).labels.array
    settings = QUICK.model_copy(update={"backend": "openvino"})
    result = predict(model, scan(), settings).labels.array
    assert (result == expected).mean() > 0.999
    assert model.networks(settings) == model.networks(settings)  # compiled once


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # Inductor's own
def test_the_compiled_network_gives_the_same_labels(model_folder: Path) -> None:
    model = Model.load(model_folder, device="cpu")
    expected = predict(model, scan(), QUICK).labels.array
    result = predict(model, scan(), QUICK.model_copy(update={"backend": "compiled"})).labels.array
    assert (result == expected).mean() > 0.999


def test_a_missing_openvino_is_reported(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gynbtnet.runtime.optional_dependencies.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"openvino.*gynbtnet\[openvino\]"):
        predict(Model.load(model_folder, device="cpu"), scan(), QUICK.model_copy(update={"backend": "openvino"}))
