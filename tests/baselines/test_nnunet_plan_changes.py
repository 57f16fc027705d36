"""Patch, batch and network of a recipe in nnU-Net's plan."""

from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from gynbtnet.baselines.nnunet_plan_changes import GYNBTNET, changed_plans
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.preparation import nnunet_topology
from gynbtnet.runtime import BadInput


def plans(transpose: tuple[int, ...] = (0, 1, 2), back: tuple[int, ...] = (0, 1, 2)) -> dict[str, Any]:
    """As the planner writes them for voxels of 5×4×4 mm and 0.3 GB."""
    configuration = {
        "batch_size": 2,
        "patch_size": [28, 48, 64],
        "spacing": [5.0, 4.0, 4.0],
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": 4,
                "features_per_stage": [32, 64, 128, 256],
                "kernel_sizes": [[3, 3, 3]] * 4,
                "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2], [1, 2, 2]],
                "n_conv_per_stage": [2] * 4,
                "n_conv_per_stage_decoder": [2] * 3,
            },
        },
    }
    orders = {"transpose_forward": list(transpose), "transpose_backward": list(back)}
    return {**orders, "configurations": {"3d_fullres": configuration}}


def changed(before: dict[str, Any], **settings: Any) -> dict[str, Any]:
    copy = deepcopy(before)
    configuration: dict[str, Any] = changed_plans(before, NnUNetSettings(**settings))["configurations"]["3d_fullres"]
    assert before == copy
    return configuration


def test_a_published_plan_stays_as_it_is() -> None:
    assert changed_plans(plans(), NnUNetSettings()) == plans()


def test_batch_and_features() -> None:
    configuration = changed(plans(), batch_size=3, features=16)
    arguments = configuration["architecture"]["arch_kwargs"]
    assert configuration["batch_size"] == 3
    assert arguments["features_per_stage"] == [16, 32, 64, 128]
    assert changed(plans(), features=80)["architecture"]["arch_kwargs"]["features_per_stage"] == [80, 160, 320, 320]


@pytest.mark.parametrize("patch", [(32, 48, 48), (16, 24, 32), (40, 80, 96)])
def test_a_patch_has_the_levels_of_its_planner(patch: tuple[int, int, int]) -> None:
    pytest.importorskip("nnunetv2", reason="the baseline nnU-Net needs the extra gynbtnet[nnunet]")
    configuration = changed(plans(), patch_size=patch)
    arguments, topology = configuration["architecture"]["arch_kwargs"], nnunet_topology((5, 4, 4), patch)
    levels = len(topology.strides)
    assert configuration["patch_size"] == list(patch)
    assert tuple(map(tuple, arguments["strides"])) == topology.strides
    assert tuple(map(tuple, arguments["kernel_sizes"])) == topology.kernels
    assert arguments["n_stages"] == len(arguments["features_per_stage"]) == len(arguments["n_conv_per_stage"]) == levels
    assert len(arguments["n_conv_per_stage_decoder"]) == levels - 1
    assert arguments["features_per_stage"] == [32, 64, 128, 256, 320][:levels]


def test_an_indivisible_patch_is_refused_in_the_order_of_the_recipe() -> None:
    pytest.importorskip("nnunetv2", reason="the baseline nnU-Net needs the extra gynbtnet[nnunet]")
    turned = plans(transpose=(2, 0, 1), back=(1, 2, 0))
    with pytest.raises(BadInput, match=r"patch_size 49×28×64 .* nearest patch that can is 56×28×64"):
        changed(turned, patch_size=(49, 28, 64))
    with pytest.raises(BadInput, match=r"patch_size 48×48×40 .* preset XS; the nearest patch that can is 48×48×32"):
        changed(turned, patch_size=(48, 48, 40), network="gynbtnet")
    configuration = changed(turned, patch_size=(48, 32, 64), network="gynbtnet")
    assert configuration["patch_size"] == [64, 48, 32]


def test_our_network_gets_a_patch_that_it_can_divide() -> None:
    configuration = changed(plans(), network="gynbtnet")
    assert configuration["patch_size"] == [32, 48, 64]
    assert configuration["batch_size"] == 2
    assert configuration["architecture"] == {
        "network_class_name": GYNBTNET,
        "arch_kwargs": {"preset": "XS", "strides": [[1, 1, 1]] + [[2, 2, 2]] * 4},
        "_kw_requires_import": [],
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "XS"}, "add network: gynbtnet"),
        ({"preset": "XXL", "network": "gynbtnet"}, "expected one of XXS, XS, S, B, L, H"),
        ({"features": 16, "network": "gynbtnet"}, "use preset for gynbtnet"),
        ({"optimiser": "adamw", "momentum": 0.9}, "momentum is a setting of sgd"),
        ({"warm_up_share": 0.05}, "needs a budget or a schedule"),
        ({"patch_size": (4, 48, 48)}, "8 to 1024 voxels"),
        ({"trainer": "os.system"}, "name of a class of nnunetv2"),
        ({"budget": {"steps": 3, "cpu_seconds": 4}}, "exactly one"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        NnUNetSettings(**settings)
