"""Our plans read by the real nnU-Net's classes, and plans in its words read by ours."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gynbtnet.networks import GynBTNet
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.nnunet_plans import DATA_IDENTIFIER, OURS, STOCK, from_nnunet, to_nnunet
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan, save_plan
from gynbtnet.preparation.planning.settings import preset_strides
from gynbtnet.runtime import BadInput

pytest.importorskip("nnunetv2", reason="nnU-Net is not installed; pip install 'gynbtnet[nnunet]'")

from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

CT = Intensity(12.5, 80.25, -100.0, 300.0, 20.0, -900.0, 2500.0)
PLAN = Plan(
    structures=("hr_ctv", "bladder"),
    spacing=(3.0, 0.9765625, 0.9765625),
    normalisation="ct",
    intensities=(CT, replace(CT, mean=700.0)),
    patch_size=(16, 32, 32),
    batch_size=2,
    preset="XS",
    strides=preset_strides("XS"),
    channels=("CT", "T2"),
)


def managers(plan: Plan, configuration: str, folder: Path) -> tuple[PlansManager, ConfigurationManager, dict[str, Any]]:
    """nnU-Net's, of the files that a plan is saved as."""
    save_plan(plan, folder)
    manager = PlansManager(str(folder / "plans.json"))
    return manager, manager.get_configuration(configuration), json.loads((folder / "dataset.json").read_text())


@pytest.mark.parametrize("configuration", [STOCK, OURS])
def test_nnunet_reads_our_plan(configuration: str, tmp_path: Path) -> None:
    manager, found, dataset = managers(PLAN, configuration, tmp_path)
    assert (manager.dataset_name, manager.plans_name) == ("GynBTNet", "GynBTNetPlans")
    assert manager.transpose_forward == manager.transpose_backward == [0, 1, 2]
    assert manager.image_reader_writer_class.__name__ == "SimpleITKIO"
    assert manager.experiment_planner_class.__name__ == "ExperimentPlanner"
    assert found.preprocessor_class.__name__ == "DefaultPreprocessor"
    assert found.data_identifier == DATA_IDENTIFIER
    assert found.spacing == list(PLAN.spacing)
    assert found.patch_size == list(PLAN.patch_size)
    assert (found.batch_size, found.batch_dice) == (2, False)
    assert found.normalization_schemes == ["CTNormalization", "ZScoreNormalization"]
    assert found.use_mask_for_norm == [False, False]
    properties = manager.foreground_intensity_properties_per_channel
    assert (properties["0"]["percentile_99_5"], properties["1"]["mean"]) == (300, 700)
    for resample, is_seg, order in (
        (found.resampling_fn_data, False, 3),
        (found.resampling_fn_seg, True, 1),
        (found.resampling_fn_probabilities, False, 1),
    ):
        assert resample.func is resample_data_or_seg_to_shape
        assert resample.keywords == {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}
    assert found.next_stage_names is found.previous_stage_name is None
    labels = manager.get_label_manager(dataset)
    assert (labels.foreground_labels, labels.num_segmentation_heads) == ([1, 2], 3)
    assert determine_num_input_channels(manager, found, dataset) == 2


def test_never_apart_is_never_apart_for_nnunet_too(tmp_path: Path) -> None:
    _, found, _ = managers(replace(PLAN, separate_z="never"), STOCK, tmp_path)
    assert found.resampling_fn_data.keywords["force_separate_z"] is False


def build(plan: Plan, configuration: str, folder: Path, *, deep_supervision: bool) -> nn.Module:
    """As nnU-Net's trainer builds it."""
    manager, found, dataset = managers(plan, configuration, folder)
    network: nn.Module = get_network_from_plans(
        found.network_arch_class_name,
        found.network_arch_init_kwargs,
        found.network_arch_init_kwargs_req_import,
        determine_num_input_channels(manager, found, dataset),
        manager.get_label_manager(dataset).num_segmentation_heads,
        deep_supervision=deep_supervision,
    )
    return network


@pytest.mark.slow
@pytest.mark.parametrize("configuration", [STOCK, OURS])
@pytest.mark.parametrize(
    "plan", [PLAN, replace(PLAN, preset="S", strides=preset_strides("S"))], ids=["five levels", "six levels"]
)
def test_nnunet_builds_and_trains_either_network(configuration: str, plan: Plan, tmp_path: Path) -> None:
    """With its loss on every level that its trainer expects, and with the switch that its trainer turns."""
    network = build(plan, configuration, tmp_path, deep_supervision=True)
    _, found, _ = managers(plan, configuration, tmp_path)
    scales = (1 / np.cumprod(np.vstack(found.pool_op_kernel_sizes), axis=0))[:-1]  # the trainer's
    image = torch.randn(1, 2, *plan.patch_size)
    levels = network(image)
    assert [level.shape[2:] for level in levels] == [
        torch.Size(int(n * s) for n, s in zip(plan.patch_size, scale, strict=True)) for scale in scales
    ]
    targets = [torch.zeros(1, *level.shape[2:], dtype=torch.long) for level in levels]
    DeepSupervisionWrapper(nn.CrossEntropyLoss(), [1 / 2**i for i in range(len(levels))])(levels, targets).backward()
    network.decoder.deep_supervision = False  # type: ignore[union-attr]
    with torch.no_grad():
        assert network(image).shape == (1, 3, *plan.patch_size)


@pytest.mark.parametrize("configuration", [STOCK, OURS])
def test_nnunets_trainer_makes_a_step(
    configuration: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real trainer, from our files: network, loss on its levels, optimiser, a step."""
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    monkeypatch.setenv("nnUNet_compile", "false")
    prepared = tmp_path / "preprocessed" / "GynBTNet" / DATA_IDENTIFIER
    prepared.mkdir(parents=True)
    (prepared / "case.b2nd").touch()  # the trainer looks at the names of prepared scans before it builds anything
    save_plan(PLAN, tmp_path)
    plans, dataset = (json.loads((tmp_path / name).read_text()) for name in ("plans.json", "dataset.json"))
    trainer = nnUNetTrainer({**plans, "continue_training": False}, configuration, 0, dataset, torch.device("cpu"))
    trainer.initialize()
    batch = {
        "data": torch.randn(2, 2, *PLAN.patch_size),
        "target": [
            torch.zeros(2, 1, *(int(n * s) for n, s in zip(PLAN.patch_size, scale, strict=True)))
            for scale in trainer._get_deep_supervision_scales()
        ],
    }
    before = [parameter.clone() for parameter in trainer.network.parameters()]
    assert np.isfinite(trainer.train_step(batch)["loss"])
    moved = [not torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True)]
    assert any(moved)
    trainer.set_deep_supervision_enabled(False)
    with torch.no_grad():
        assert trainer.network(batch["data"]).shape == (2, 3, *PLAN.patch_size)
    capsys.readouterr()


def test_what_nnunet_trains_is_our_network(tmp_path: Path) -> None:
    """Weights go over as they are, and give the same."""
    theirs = build(PLAN, OURS, tmp_path, deep_supervision=False).eval()
    ours = GynBTNet("XS", 2, outputs=3, strides=PLAN.strides, deep_supervision=False).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 2, 16, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(theirs(image), ours(image))


def test_the_stock_network_is_nnunets_plain_one(tmp_path: Path) -> None:
    network = build(PLAN, STOCK, tmp_path, deep_supervision=False)
    assert type(network).__name__ == "PlainConvUNet"
    assert {type(module) for module in network.modules() if isinstance(module, nn.Conv3d)} == {nn.Conv3d}


def stock() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a plan for nnU-Net's own network only, with a patch that is no multiple of 16 and other axis order."""
    plans, dataset = copy.deepcopy(to_nnunet(PLAN))
    found = plans["configurations"][STOCK]
    del plans["configurations"][OURS], plans["notes"]
    plans["transpose_forward"], plans["transpose_backward"] = [2, 0, 1], [1, 2, 0]
    found["spacing"], found["patch_size"] = [5.0, 1.0, 0.9], [20, 40, 52]  # x, z, y
    return plans, dataset


def test_a_stock_plan_is_followed_by_our_network() -> None:
    read = from_nnunet(*stock(), preset="B")
    assert read.spacing == (1.0, 0.9, 5.0)
    assert read.patch_size == (32, 48, 16)
    assert (read.preset, read.strides, read.batch_size) == ("B", preset_strides("B"), 2)
    assert (read.normalisation, read.channels, read.intensities) == ("ct", ("CT", "T2"), PLAN.intensities)
    assert read.notes == (
        "The plan was made for PlainConvUNet; preset B reads its patches of 40×52×20 voxels, rounded to 32×48×16.",
    )


def test_what_nnunet_inherits_is_followed() -> None:
    plans, dataset = stock()
    plans["configurations"]["3d_large"] = {"inherits_from": STOCK, "batch_size": 8}
    assert from_nnunet(plans, dataset, configuration="3d_large").batch_size == 8
    assert from_nnunet(plans, dataset).batch_size == 2


def test_another_resampling_is_reported() -> None:
    plans, dataset = stock()
    plans["configurations"][STOCK]["resampling_fn_data"] = "resample_torch_fornnunet"
    assert "resamples data by resample_torch_fornnunet" in from_nnunet(plans, dataset).notes[0]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda plans, dataset: dataset["labels"].update(bladder=[1, 2]), "regions"),
        (lambda plans, dataset: dataset["labels"].update(ignore=3), "ignore label"),
        (lambda plans, dataset: dataset["labels"].pop("background"), "consecutively from background"),
        (lambda plans, dataset: dataset["channel_names"].update({"1": "CT"}), "CT, CT are normalised by"),
        (lambda plans, dataset: configuration(plans).update(normalization_schemes=["NoNormalization"] * 2), "NoNorm"),
        (lambda plans, dataset: configuration(plans).update(use_mask_for_norm=[True, True]), "inside a nonzero mask"),
        (lambda plans, dataset: configuration(plans).update(patch_size=[64, 64]), "three values"),
        (lambda plans, dataset: configuration(plans).update(inherits_from=STOCK), "inherits from itself"),
        (lambda plans, dataset: configuration(plans).pop("architecture"), "'architecture' is missing"),
        (lambda plans, dataset: plans["configurations"].pop(STOCK), "'3d_fullres' is missing"),
    ],
)
def test_unsupported_settings_are_reported(tmp_path: Path, edit: Any, words: str) -> None:
    plans, dataset = stock()
    edit(plans, dataset)
    with pytest.raises(ValueError, match=words):
        from_nnunet(plans, dataset)
    (tmp_path / "nnUNetPlans.json").write_text(json.dumps(plans))
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    with pytest.raises(BadInput, match=rf"nnUNetPlans.json or dataset.json .*not a plan.*{words}"):
        load_plan(tmp_path)


def configuration(plans: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plans["configurations"][STOCK]
    return found
