"""Swin-UNETR's pretraining: its views, its losses, and the way into the next stage."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor, nn

from gynbtnet.inference import Model, PredictionSettings
from gynbtnet.preparation import PreparedCohort
from gynbtnet.runtime import BadInput
from gynbtnet.training.data.batches import Batch
from gynbtnet.training.objectives.swin_proxy_tasks import SwinProxyTasks, contrastive_loss, draw_views
from gynbtnet.training.settings import PretrainingSettings, ProxyTaskSettings, SegmentationSettings
from gynbtnet.training.stages import finetune, pretrain

pytest.importorskip("monai", reason="the baseline Swin-UNETR needs the extra gynbtnet[baselines]")

from gynbtnet.networks import ProxyOutputs, SwinPretraining

SIDES: dict[str, Any] = {"training_ids": ["ball_0", "ball_1"], "validation_ids": ["ball_2"]}


def patches(count: int = 3) -> Batch:
    image = torch.randn(count, 1, 20, 24, 24, generator=torch.Generator().manual_seed(3))
    return Batch(image=image, seeds=torch.arange(count) + 5)


def test_views_are_the_patches_rotated_and_cut_out() -> None:
    batch = patches()
    views = draw_views(batch, 0.3)
    assert views.target.shape == (6, 1, 20, 24, 24)
    for view in range(6):
        patch = batch["image"][view % 3, 0].numpy()
        assert np.array_equal(views.target[view, 0].numpy(), np.rot90(patch, int(views.rotations[view]), (1, 2)))
    assert torch.equal(views.seen != 0, ~views.cut)
    shares = views.cut.float().mean((1, 2, 3, 4))
    assert ((shares >= 0.3) & (shares < 0.33)).all()  # the last box is at most a 64th of the patch
    assert not torch.equal(views.cut[:3], views.cut[3:])
    assert len(set(draw_views(patches(40), 0.1).rotations.tolist())) == 4


def test_a_patchs_views_depend_on_its_seed_alone() -> None:
    batch = patches()
    alone = draw_views(Batch(image=batch["image"][1:2], seeds=batch["seeds"][1:2]), 0.3)
    together = draw_views(batch, 0.3)
    assert torch.equal(alone.seen, together.seen[[1, 4]])


def test_contrast_is_the_published_formula() -> None:
    vectors = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    array = vectors.numpy()
    unit = array / np.linalg.norm(array, axis=1, keepdims=True)
    losses = []
    for i in range(8):
        others = [np.exp(unit[i] @ unit[k] / 0.5) for k in range(8) if k != i]
        losses.append(-np.log(np.exp(unit[i] @ unit[(i + 4) % 8] / 0.5) / sum(others)))
    assert contrastive_loss(vectors).item() == pytest.approx(float(np.mean(losses)), rel=1e-6)
    assert contrastive_loss(vectors[:2]).item() == 0


class PerfectNetwork(nn.Module):
    """Network with perfect outputs."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.views, self.patches = draw_views(batch, 0.3), len(batch["image"])

    def forward(self, seen: Tensor) -> ProxyOutputs:
        assert torch.equal(seen, self.views.seen)
        rotation = 100.0 * nn.functional.one_hot(self.views.rotations, 4)
        return ProxyOutputs(self.views.target, rotation, torch.eye(self.patches).repeat(2, 1))


def test_who_knows_all_pays_only_what_contrast_leaves() -> None:
    batch = patches()
    network = PerfectNetwork(batch)
    loss = SwinProxyTasks(network, 0.3).loss(network, batch).item()
    assert loss == pytest.approx(-np.log(np.e**2 / (np.e**2 + 4)), rel=1e-5)


@pytest.mark.slow
def test_validation_distinguishes_views_from_all_others() -> None:
    torch.manual_seed(0)
    objective = SwinProxyTasks(SwinPretraining("F12").eval(), 0.3)
    batch = Batch(image=torch.randn(2, 1, 40, 24, 24), seeds=torch.tensor([1, 2]))
    with torch.no_grad():
        whole = objective.loss(objective.network, batch).item()
        single = [Batch(image=batch["image"][i : i + 1], seeds=batch["seeds"][i : i + 1]) for i in range(2)]
        scores = objective.validate(single)
    assert scores["validation_loss"] == pytest.approx(whole, rel=1e-4)
    assert tuple(scores) == objective.score_names
    assert objective.score(scores) == -scores["validation_loss"]


@pytest.mark.slow
def test_from_pretraining_to_a_model_that_predicts(prepared: PreparedCohort, tmp_path: Path) -> None:
    plan = replace(prepared.plan, network="swin_unetr", preset="F12", strides=(), patch_size=(40, 32, 32))
    swin = replace(prepared, plan=plan)
    quick = {"epochs": 1, "steps_per_epoch": 1, "checkpoint_interval_epochs": 1, "validation_patches": 1}
    first = pretrain(swin, ProxyTaskSettings(**quick), tmp_path / "pretraining", **SIDES)
    with (first / "log.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    parts = ("validation_inpainting", "validation_rotation", "validation_contrast")
    assert float(row["validation_loss"]) == pytest.approx(sum(float(row[part]) for part in parts), rel=1e-4)
    assert (first / "pictures" / "epoch_0001.png").stat().st_size > 1000

    single = replace(swin, plan=replace(plan, batch_size=1))
    second = finetune(
        single,
        SegmentationSettings(**quick, learning_rate=1e-3),
        tmp_path / "task",
        start=first,
        **SIDES,
    )
    report = json.loads((second / "transfer.json").read_text())
    assert (report["parts"], report["share"]) == ("encoder", 1.0)
    assert all(name.startswith("swinViT.") for name in report["loaded"])
    plans = json.loads((second / "plans.json").read_text())
    architecture = plans["configurations"]["3d_gynbtnet"]["architecture"]
    assert architecture["network_class_name"] == "gynbtnet.networks.swin_unetr.SwinUNETR"

    model = Model.load(second, device="cpu")
    weights = load_file(second / "weights_last.safetensors")
    assert model.network.state_dict().keys() == weights.keys()
    with torch.inference_mode():
        (window,) = model.networks(PredictionSettings())
        logits = window(torch.zeros(1, 1, *model.plan.patch_size))
    assert logits.shape == (1, 2, *model.plan.patch_size)


def test_settings_are_their_own_networks(prepared: PreparedCohort, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="masked modelling pretrains gynbtnet"):
        pretrain(prepared, ProxyTaskSettings(), tmp_path / "run", **SIDES)
    plan = replace(prepared.plan, network="swin_unetr", preset="F12", strides=(), patch_size=(16, 32, 40))
    with pytest.raises(BadInput, match="the proxy tasks pretrain swin_unetr"):
        pretrain(replace(prepared, plan=plan), PretrainingSettings(), tmp_path / "run", **SIDES)
    with pytest.raises(BadInput, match="as long along y as along x"):
        pretrain(replace(prepared, plan=plan), ProxyTaskSettings(), tmp_path / "run", **SIDES)
    assert not (tmp_path / "run").exists()


def test_the_contrast_of_a_batch_is_not_parted() -> None:
    with pytest.raises(ValidationError, match="contrastive loss needs the patches of the whole batch"):
        ProxyTaskSettings(auto_micro_batch=True)
