"""Stage 3 with the network of a folder that nnU-Net trained: planned like it, started from it, and predicted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gynbtnet.imaging import Volume
from gynbtnet.inference import PredictionSettings, load_model
from gynbtnet.networks import NnunetUNet, UNetArchitecture, describe_architecture, parse_architecture
from gynbtnet.preparation import PreparedCohort, load_plan, plan_like, save_plan
from gynbtnet.runtime import BadInput
from gynbtnet.training.planned_network import build_network
from gynbtnet.training.settings import PretrainingSettings, SegmentationSettings
from gynbtnet.training.stages import finetune, pretrain

from .conftest import ball_plan

PLAIN = UNetArchitecture(
    kind="PlainConvUNet",
    features=(8, 12, 16),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    depths=(1, 2, 1),
    decoder_depths=(1, 1),
)
ARCHITECTURES = [
    PLAIN,
    replace(PLAIN, kind="ResidualEncoderUNet", stem=6),
    replace(PLAIN, kind="ResidualUNet", norm="batch", activation="ReLU", bias=False),
    replace(PLAIN, activation_first=True, norm=None),
]
SIDES: dict[str, Any] = {"training_ids": ["ball_0", "ball_1"], "validation_ids": ["ball_2"]}
ONE_STEP = SegmentationSettings(
    epochs=1, steps_per_epoch=1, validation_patches=1, learning_rate=1e-12, supervise_coarsest=False
)


def write_trained(folder: Path, architecture: UNetArchitecture, **changes: Any) -> NnunetUNet:
    """Write a folder as nnU-Net trains it, and return its network."""
    kwargs = {"order_z": 0, "force_separate_z": None}
    configuration = {
        "patch_size": [16, 32, 32],
        "batch_size": 2,
        "spacing": [2.0, 2.0, 2.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "architecture": describe_architecture(architecture),
        **{
            f"resampling_fn_{kind}{end}": value
            for kind, is_seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1))
            for end, value in (
                ("", "resample_data_or_seg_to_shape"),
                ("_kwargs", {"is_seg": is_seg, "order": order, **kwargs}),
            )
        },
    } | changes.pop("configuration", {})
    plans = {
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "SimpleITKIO",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {"3d_fullres": configuration},
    } | changes
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1, "b": 2, "c": 3}}
    torch.manual_seed(0)
    network = NnunetUNet(architecture, outputs=4)
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    torch.save({"network_weights": network.state_dict()}, folder / "fold_0" / "checkpoint_final.pth")
    return network


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda each: each.kind)
def test_an_architecture_is_written_and_read_again(tmp_path: Path, architecture: UNetArchitecture) -> None:
    assert parse_architecture({"architecture": describe_architecture(architecture)}) == architecture
    plan = ball_plan(
        network="nnunet", preset=architecture.kind, strides=architecture.strides, architecture=architecture
    )
    save_plan(plan, tmp_path)
    assert load_plan(tmp_path) == plan
    for supervised, levels in ((True, 2), (False, 1)):
        network = build_network(plan, deep_supervision=supervised)
        logits = network(torch.zeros(1, 1, 16, 32, 32))
        logits = logits if isinstance(logits, list) else [logits]
        assert [tuple(level.shape) for level in logits] == [(1, 2, 16, 32, 32), (1, 2, 16, 16, 16)][:levels]


@pytest.mark.parametrize("architecture", ARCHITECTURES[:2], ids=lambda each: each.kind)
def test_stage_3_starts_from_a_trained_folder(
    prepared: PreparedCohort, tmp_path: Path, architecture: UNetArchitecture
) -> None:
    folder = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    theirs = write_trained(folder, architecture)
    plan = plan_like(prepared.plan, folder)
    assert plan.architecture == architecture and plan.structures == ("ball",)
    run = finetune(replace(prepared, plan=plan), ONE_STEP, tmp_path / "run", **SIDES, start=folder)
    report = json.loads((run / "transfer.json").read_text())
    assert report["share"] == 1 and report["parts"] == "all_but_heads"
    assert all("seg_layers" in name for name in report["skipped"])
    last = load_file(run / "weights_last.safetensors")
    for name, values in theirs.state_dict().items():
        if "seg_layers" not in name:
            assert torch.allclose(last[name], values, atol=1e-9), name
    grid = prepared.cases[0].geometry
    scan = Volume(np.random.default_rng(0).normal(0, 50, grid.shape).astype(np.int16), grid)
    model = load_model(run)
    assert model.title == "nnU-Net"
    result = model.segment([scan], PredictionSettings(mirroring=False))
    assert result.segmentation.structures == ("ball",)
    with pytest.raises(BadInput, match="isn't pretrained here"):
        pretrain(replace(prepared, plan=plan), PretrainingSettings(), tmp_path / "p", **SIDES)


def test_an_encoder_that_nnssl_pretrained(prepared: PreparedCohort, tmp_path: Path) -> None:
    folder = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    theirs = write_trained(folder, PLAIN)
    encoder = {name: value for name, value in theirs.state_dict().items() if name.startswith("encoder.")}
    torch.save({"network_weights": encoder, "nnssl_adaptation_plan": {"name": "x"}}, tmp_path / "nnssl.pth")
    plan = plan_like(prepared.plan, folder)
    run = finetune(replace(prepared, plan=plan), ONE_STEP, tmp_path / "run", **SIDES, start=tmp_path / "nnssl.pth")
    report = json.loads((run / "transfer.json").read_text())
    assert report["share"] == 1 and report["parts"] == "encoder"


def test_what_does_not_fit(prepared: PreparedCohort, tmp_path: Path) -> None:
    folder = tmp_path / "a__b__3d_fullres"
    write_trained(folder, PLAIN)
    with pytest.raises(BadInput, match=r"plan with `gynbtnet plan --like FOLDER`"):
        finetune(prepared, ONE_STEP, tmp_path / "run", **SIDES, start=folder)
    other = tmp_path / "other.pth"
    torch.save({"network_weights": {"encoder.levels.0": torch.zeros(1)}}, other)
    with pytest.raises(BadInput, match="give the folder that the plan was made like"):
        finetune(
            replace(prepared, plan=plan_like(prepared.plan, folder)), ONE_STEP, tmp_path / "run", **SIDES, start=other
        )
    with pytest.raises(BadInput, match="reads the channels CT, but the cohort has T2"):
        plan_like(ball_plan(channels=("T2",)), folder)
    for changes, words in (
        ({"transpose_forward": [1, 0, 2], "transpose_backward": [1, 0, 2]}, "permutes the axes"),
        ({"configuration": {"previous_stage": "3d_lowres"}}, "only networks of 3d_fullres and 3d_lowres"),
        ({"configuration": {"normalization_schemes": ["RescaleTo01Normalization"]}}, "RescaleTo01Normalization"),
    ):
        refused = tmp_path / words[:8] / "a__b__3d_fullres"
        write_trained(refused, PLAIN, **changes)
        with pytest.raises(BadInput, match=words):
            plan_like(prepared.plan, refused)
    for values in ({"network": "nnunet"}, {"architecture": PLAIN}, {"network": "nnunet", "strides": ()}):
        with pytest.raises(ValueError):
            ball_plan(**values)
