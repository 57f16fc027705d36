"""Tests of the axes that training mirrors, and of the swap of left and right."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from gynbtnet.imaging import Geometry, mirrored_labels
from gynbtnet.preparation import Plan, PreparedCase, PreparedCohort, foreground_voxels, load_plan, write_prepared_case
from gynbtnet.runtime import BadInput
from gynbtnet.training.data.augmentation import Augmentation
from gynbtnet.training.data.batches import Batches
from gynbtnet.training.data.mirroring import with_mirroring
from gynbtnet.training.settings import PretrainingSettings, SegmentationSettings
from gynbtnet.training.stages import finetune, pretrain

SHAPE = (16, 32, 32)
SIDED = ("bladder", "hip_left", "hip_right")
QUICK: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 1, "validation_patches": 1, "learning_rate": 1e-3}
SIDES: dict[str, Any] = {"training_ids": ["ball_0", "ball_1"], "validation_ids": []}


def sided_case(folder: Path, missing: tuple[str, ...] = ()) -> PreparedCase:
    """Three channels that hold the voxel's own z, y and x; hip_left at high x, hip_right at low x, as in a patient."""
    grid = np.indices(SHAPE).astype(np.float32)
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:8, 10:20, 12:20] = 1
    labels[2:9, 5:12, 24:30] = 2
    labels[2:9, 5:12, 2:8] = 3
    for name in missing:
        labels[labels == SIDED.index(name) + 1] = 0
    foreground = foreground_voxels(labels)
    case = PreparedCase(
        "a",
        "a",
        Geometry(SHAPE, (2.0, 2.0, 2.0)),
        (0.0, 0.0, 0.0),
        True,
        tuple(foreground),
        "key",
        folder,
        missing=missing,
    )
    write_prepared_case(case, grid, labels, foreground, SHAPE)
    return case


def mirrored_in(image: torch.Tensor) -> set[str]:
    """Return the axes along which the coordinates in a patch's channels decrease."""
    steps = (image[0, 1] - image[0, 0], image[1, :, 1] - image[1, :, 0], image[2, ..., 1] - image[2, ..., 0])
    return {axis for axis, step in zip("zyx", steps, strict=True) if float(step.mean()) < 0}


@pytest.mark.parametrize("kind", ["light", "full"])
@pytest.mark.parametrize("axes", [(), (2,), (0, 1), (0, 2), (0, 1, 2)])
def test_each_axis_is_mirrored_half_of_the_time_and_no_other(tmp_path: Path, kind: Any, axes: tuple[int, ...]) -> None:
    case, number = sided_case(tmp_path), 60 if kind == "light" else 12
    batches = Batches([case], Augmentation(kind, SHAPE, axes), 1, 3)
    observed = [mirrored_in(batches[step]["image"][0]) for step in range(number)]
    assert set().union(*observed) == {"zyx"[axis] for axis in axes}
    if kind == "light":
        assert all(15 < sum(axis in one for one in observed) < 45 for axis in ("zyx"[i] for i in axes))


def test_labels_change_sides_with_the_mirror_image_of_x_alone(tmp_path: Path) -> None:
    """High x in the patch is the patient's left again, for any orientation of the voxels."""
    case = sided_case(tmp_path)
    batches = Batches([case], Augmentation("light", SHAPE, (0, 1, 2), mirrored_labels(SIDED)), 1, 3, structures=SIDED)
    seen = set()
    for step in range(24):
        batch = batches[step]
        labels, mirrored = batch["labels"][0], mirrored_in(batch["image"][0])
        seen.add("".join(sorted(mirrored)))
        position = torch.arange(SHAPE[2]).expand(SHAPE).float()
        assert position[labels == 2].mean() > 20
        assert position[labels == 3].mean() < 12
        _, truth = case.crop((0, 0, 0), SHAPE)
        assert truth is not None
        expected = np.flip(truth, tuple("zyx".index(axis) for axis in mirrored))
        assert np.array_equal(labels == 1, expected == 1)
        assert np.array_equal(labels > 1, expected > 1)
        assert labels.dtype == torch.uint8
    assert len(seen) > 5


def test_a_structure_that_is_not_contoured_changes_sides_too(tmp_path: Path) -> None:
    """hip_left isn't contoured: in a mirror image, hip_right is the one that isn't known."""
    case = sided_case(tmp_path, missing=("hip_left",))
    batches = Batches([case], Augmentation("light", SHAPE, (1, 2), mirrored_labels(SIDED)), 1, 3, structures=SIDED)
    observed = set()
    for step in range(12):
        batch = batches[step]
        mirrored = "x" in mirrored_in(batch["image"][0])
        assert batch["missing"].tolist() == [[False, False, True] if mirrored else [False, True, False]]
        assert (2 if mirrored else 3) in batch["labels"]
        observed.add(mirrored)
    assert observed == {False, True}


def plan_of(structures: tuple[str, ...], plan: Plan, **settings: Any) -> Plan:
    return with_mirroring(replace(plan, structures=structures), SegmentationSettings(**settings))


def test_the_plan_records_the_mirrored_axes(prepared: PreparedCohort) -> None:
    plan = prepared.plan
    assert plan_of(SIDED, plan).mirror_axes == ("z", "y", "x")
    assert plan_of(SIDED, plan).sides_swapped
    assert not plan_of(SIDED, plan, mirror_axes=("z", "y")).sides_swapped
    assert not plan_of(("bladder",), plan).sides_swapped
    assert plan_of(SIDED, plan, augmentation="none").mirror_axes == ()
    assert plan_of(("bladder",), plan, mirror_axes=("x", "z")).mirror_axes == ("z", "x")


def test_x_is_left_out_if_a_structure_has_no_counterpart(prepared: PreparedCohort) -> None:
    observed = plan_of(("bladder", "kidney_left"), prepared.plan)
    assert (observed.mirror_axes, observed.sides_swapped) == (("z", "y"), False)
    assert observed.notes[-1].endswith("don't include the other side of kidney_left.")
    assert plan_of(("kidney_left",), prepared.plan, mirror_axes=("z",)).notes == prepared.plan.notes


@pytest.mark.parametrize("axes", [("w",), ("x", "x"), "x"])
def test_axes_that_are_none(axes: object) -> None:
    with pytest.raises(ValidationError):
        SegmentationSettings(mirror_axes=axes)


def test_runs_write_their_axes_into_the_plan(prepared: PreparedCohort, tmp_path: Path) -> None:
    run = finetune(prepared, SegmentationSettings(**QUICK, mirror_axes=("x",)), tmp_path / "run", **SIDES)
    assert load_plan(run).mirror_axes == ("x",)
    before = pretrain(prepared, PretrainingSettings(**QUICK, mirror_axes=("y",)), tmp_path / "before", **SIDES)
    assert load_plan(before).mirror_axes == ("y",)
    assert prepared.plan.mirror_axes == ("z", "y", "x")


@pytest.mark.parametrize("augmentation", ["light", "none"])
def test_a_run_from_before_the_setting_goes_on(prepared: PreparedCohort, tmp_path: Path, augmentation: Any) -> None:
    """Neither its recipe nor its plan names axes. It mirrored all three, or did not augment."""
    settings = SegmentationSettings(**QUICK, augmentation=augmentation)
    run = finetune(prepared, settings, tmp_path / "run", **SIDES)
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    del recipe["settings"]["mirror_axes"]
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    plans = (run / "plans.json").read_text()
    assert '"mirror_axes"' in plans
    (run / "plans.json").write_text(plans.replace('"mirror_axes"', '"unknown"'))
    assert finetune(prepared, settings, run, **SIDES) == run
    with pytest.raises(BadInput, match=r"was made with (plan|settings)\.mirror_axes"):
        finetune(prepared, settings.model_copy(update={"mirror_axes": ("x",)}), run, **SIDES)
