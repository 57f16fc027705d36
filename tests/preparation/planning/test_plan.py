import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gynbtnet.networks import PRESETS
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan, save_plan
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
from gynbtnet.preparation.planning.settings import PlanSettings
from gynbtnet.preparation.planning.structure_volumes import StructureVolume
from gynbtnet.runtime import BadInput

PLAN = Plan(
    structures=("hr_ctv", "bladder"),
    spacing=(3.0, 0.9765625, 0.9765625),
    normalisation="ct",
    intensities=(Intensity(12.5, 80.25, -100.0, 300.0, 20.0, -900.0, 2500.0),),
    patch_size=(80, 160, 160),
    batch_size=2,
    preset="L",
    strides=PlanSettings().resolved_strides(),
    volumes=(StructureVolume("bladder", 24, 130.5, 0.41),),
    postprocessing=(
        PostprocessingRule("bladder", minimum_cm3=0.25),
        PostprocessingRule("hr_ctv", largest_component=True, fill_holes=True),
    ),
)


@pytest.mark.parametrize("preset", PRESETS)
def test_strides_left_out_are_the_presets(preset: str) -> None:
    strides = PlanSettings(preset=preset).resolved_strides()
    assert strides == tuple((stride,) * 3 for stride in PRESETS[preset].strides)


@pytest.mark.parametrize(
    "wrong",
    [
        {"patch_size": (80, 160, 150)},
        {"patch_size": (0, 160, 160)},
        {"patch_size": (8, 16, 16), "strides": ((1, 1, 1), (3, 2, 2), *((1, 1, 1),) * 4)},
        {"strides": ((1, 1, 1), (2, 2, 2))},
        {"preset": "XS", "strides": ((1, 1, 1), *((2, 2, 2),) * 4, (1, 1, 1))},
        {"spacing": (1.5, float("nan"), 1.5)},
        {"spacing": (1.5, 0.0, 1.5)},
        {"spacing": (1.5, 1.5)},
        {"normalisation": "minmax"},
        {"preset": "XXL"},
        {"batch_size": 0},
        {"colour": "blue"},
        {"network": "swin_unetr"},
        {"network": "swin_unetr", "preset": "F48", "patch_size": (32, 32, 32)},
        {"network": "swin_unetr", "preset": "F48", "patch_size": None},
        {"network": "swin_unetr", "preset": "F48", "strides": ((1, 1, 1),)},
        {"preset": "F48"},
        {"plan_memory_gb": 0},
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PlanSettings(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"normalisation": "rgb"},
        {"intensities": None},
        {"intensities": PLAN.intensities * 2},
        {"intensities": PLAN.intensities, "channels": ("CT", "MR")},
        {"channels": ()},
        {"separate_z": "always"},
        {"spacing": (1.0, 1.0)},
        {"spacing": (1.0, float("nan"), 1.0)},
        {"spacing": (1.0, 1.0, float("inf"))},
        {"patch_size": (80, 160, 161)},
        {"strides": PLAN.strides[:-1]},
        {"preset": "XS"},
        {"preset": "XXL"},
        {"postprocessing": (PostprocessingRule("rectum", fill_holes=True),)},
        {"postprocessing": PLAN.postprocessing * 2},
    ],
)
def test_a_plan_that_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(PLAN, **wrong)


def test_settings_are_described() -> None:
    assert all(field.description for field in PlanSettings.model_fields.values())


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_plan(PLAN, tmp_path)
    assert load_plan(tmp_path) == PLAN


def test_a_plan_from_before_there_was_a_section_of_ours_is_read(tmp_path: Path) -> None:
    save_plan(PLAN, tmp_path)
    plans = json.loads((tmp_path / "plans.json").read_text())
    del plans["gynbtnet"]
    (tmp_path / "plans.json").write_text(json.dumps(plans))
    assert load_plan(tmp_path) == replace(PLAN, volumes=(), postprocessing=())


def test_a_plan_for_the_baseline_comes_back(tmp_path: Path) -> None:
    plan = replace(PLAN, network="swin_unetr", preset="F48", strides=(), patch_size=(80, 150, 150))
    save_plan(plan, tmp_path)
    assert load_plan(tmp_path) == plan


def test_ct_is_the_only_channel_that_is_not_zscored(tmp_path: Path) -> None:
    plan = replace(PLAN, channels=("T2", "ct", "CT"), intensities=PLAN.intensities * 3, separate_z="never")
    assert plan.normalisations == ("zscore", "ct", "ct")
    save_plan(plan, tmp_path)
    assert load_plan(tmp_path) == plan
    assert replace(plan, normalisation="zscore", intensities=None).normalisations == ("zscore",) * 3


def test_thick_slices_are_resampled_apart_unless_never() -> None:
    assert PLAN.separate_axis((5.0, 0.9, 0.9)) == 0
    assert replace(PLAN, separate_z="never").separate_axis((5.0, 0.9, 0.9)) is None


def test_the_words_are_nnunets(tmp_path: Path) -> None:
    save_plan(PLAN, tmp_path)
    plans, dataset = (json.loads((tmp_path / name).read_text()) for name in ("plans.json", "dataset.json"))
    configuration = plans["configurations"]["3d_fullres"]
    assert configuration["normalization_schemes"] == ["CTNormalization"]
    ours = plans["configurations"]["3d_gynbtnet"]["architecture"]["arch_kwargs"]
    assert (ours["preset"], ours["strides"][1]) == ("L", [2, 2, 2])
    assert configuration["spacing"] == [3.0, 0.9765625, 0.9765625]
    assert plans["foreground_intensity_properties_per_channel"]["0"]["percentile_99_5"] == 300
    assert dataset["labels"] == {"background": 0, "hr_ctv": 1, "bladder": 2}


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("plans.json", lambda plans: plans.pop("configurations")),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(patch_size=[80, 160])),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(patch_size=[81, 160, 160])),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(normalization_schemes=["RGB"])),
        ("plans.json", lambda plans: plans.update(foreground_intensity_properties_per_channel={})),
        ("plans.json", lambda plans: plans.update(configurations=[1])),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(spacing=[float("nan"), 1, 1])),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(spacing="123")),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(spacing=[1e-9, 1, 1])),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(spacing=[5000, 1, 1])),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(patch_size=[16e6, 16e6, 16e6])),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(patch_size=[80.5, 160, 160])),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(patch_size=[[80], [160], [160]])),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(patch_size=[-80, 160, 160])),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(batch_size=0)),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(batch_size=10**9)),
        ("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(inherits_from="3d_gynbtnet")),
        ("plans.json", lambda plans: plans["configurations"]["3d_gynbtnet"].update(inherits_from="3d_gynbtnet")),
        ("plans.json", lambda plans: plans["configurations"]["3d_gynbtnet"].update(inherits_from=["3d_fullres"])),
        ("plans.json", lambda plans: plans["configurations"]["3d_gynbtnet"]["architecture"].update(arch_kwargs=None)),
        ("plans.json", lambda plans: plans.update(transpose_backward=[0, 0, 2])),
        ("plans.json", lambda plans: plans.update(transpose_backward={})),
        ("plans.json", lambda plans: plans.update(transpose_forward=[1, 2, 0])),
        ("plans.json", lambda plans: plans.update(transpose_forward=[])),
        ("plans.json", lambda plans: plans.update(transpose_forward=[0, -2, 2])),
        ("plans.json", lambda plans: plans["foreground_intensity_properties_per_channel"]["0"].update(std=-1)),
        ("dataset.json", lambda dataset: dataset.update(channel_names={str(i): "CT" for i in range(50)})),
        ("dataset.json", lambda dataset: dataset.update(labels={"background": 0, "a\nb": 1})),
        ("dataset.json", lambda dataset: dataset.update(labels={"background": 0, "x" * 300: 1})),
        ("plans.json", lambda plans: plans["gynbtnet"].update(postprocessing=[{"structure": "bladder"}])),
        ("plans.json", lambda plans: plans["gynbtnet"]["postprocessing"][0].update(minimum_cm3="much")),
        ("plans.json", lambda plans: plans["gynbtnet"]["volumes"][0].update(patients=1)),
        ("plans.json", lambda plans: plans.update(gynbtnet=[1])),
        ("dataset.json", lambda dataset: dataset["labels"].update(bladder=7)),
    ],
)
def test_a_plan_that_was_edited_wrongly_is_reported(tmp_path: Path, file: str, edit: Any) -> None:
    save_plan(PLAN, tmp_path)
    content = json.loads((tmp_path / file).read_text())
    edit(content)
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(BadInput, match=r"not a plan|NaN") as refused:
        load_plan(tmp_path)
    assert "\n" not in str(refused.value)


def test_an_absent_or_damaged_plan_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no file .*plans.json"):
        load_plan(tmp_path)
    save_plan(PLAN, tmp_path)
    (tmp_path / "plans.json").write_text('{"configurations":')
    with pytest.raises(BadInput, match="damaged"):
        load_plan(tmp_path)


@pytest.mark.parametrize(
    "changes", [{"mean": 1e308}, {"max": -1e12}, {"percentile_00_5": 1500.0, "percentile_99_5": -1000.0}]
)
def test_intensities_that_no_scan_has_are_refused(changes: dict[str, float]) -> None:
    measured = Intensity(40, 60, -100, 300, 41, -500, 1500)
    with pytest.raises(ValueError, match=r"intensities are numbers up to|is above the higher one"):
        replace(measured, **changes)
