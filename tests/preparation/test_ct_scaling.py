"""A fixed CT scaling for all stages: the network gets the same values for the same voxels in each stage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gynbtnet.datasets import Split
from gynbtnet.experiment import finetune_alone
from gynbtnet.imaging import Geometry, Volume
from gynbtnet.preparation.normalise import clip_to_plan, normalise_channel
from gynbtnet.preparation.planning.fingerprint import Fingerprint
from gynbtnet.preparation.planning.make_plan import make_plan
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan, save_plan
from gynbtnet.preparation.planning.settings import CTScaling, PlanSettings
from gynbtnet.preparation.prepare_cohort import prepare
from gynbtnet.preparation.preprocess import preprocess_volume
from gynbtnet.recipes import load_recipe
from gynbtnet.runtime import BadInput

from .conftest import WriteCohort

STAGES = ("pretraining", "supervised", "task")
GRID = Geometry((12, 20, 20), (3.0, 2.0, 2.0))
SCALING = CTScaling(lower=-1000, upper=1500, mean=100, sd=200)
SET = "{lower: -1000, upper: 1500, mean: 100, sd: 200}"


def make_stage_plans(write_cohort: WriteCohort, changes: list[str]) -> list[Plan]:
    """Plan each stage for its own cohort, the first without contours."""
    recipe = load_recipe("real_small", [*(f"{stage}.plan.spacing=[2, 2, 2]" for stage in STAGES), *changes])
    plans = []
    for number, stage in enumerate(STAGES):
        cohort = write_cohort([Geometry((8 + 4 * number, 16, 16), (2.0, 2.0, 2.0))], labelled=stage != "pretraining")
        plans.append(make_plan(cohort, recipe.stage(stage).plan))
    return plans


def make_plan_with(scaling: CTScaling, channels: tuple[str, ...] = ("CT",)) -> Plan:
    source = Fingerprint(channels, (), ((2.0, 2.0, 2.0),), ((32, 32, 32),), None)
    patch: dict[str, Any] = {"preset": "XS", "patch_size": (16, 32, 32)}
    return make_plan(source, PlanSettings(normalisation="ct", ct_scaling=scaling, **patch))


def test_the_same_voxels_are_the_same_in_all_three_stages(write_cohort: WriteCohort) -> None:
    hu = np.random.default_rng(0).integers(-1024, 3000, GRID.shape).astype(np.int16)
    fixed = [f"{stage}.plan.{change}" for stage in STAGES for change in ("normalisation=ct", f"ct_scaling={SET}")]
    own = [f"{stage}.plan.ct_scaling=null" for stage in STAGES]
    zscored = [f"{stage}.plan.normalisation=zscore" for stage in STAGES[:2]]
    ours, papers = (
        [preprocess_volume([Volume(hu, GRID)], plan)[0] for plan in make_stage_plans(write_cohort, changes)]
        for changes in (fixed, [*own, *zscored])
    )
    np.testing.assert_array_equal(ours[0], ours[1])
    np.testing.assert_array_equal(ours[0], ours[2])
    assert np.abs(papers[0] - papers[2]).max() > 1  # z-scored, and by the cohort's intensities


def test_values_computed_by_hand() -> None:
    hu = np.array([-3000, -1000, 100, 300, 1500, 3000], np.float32).reshape(1, 1, 6)
    plan = make_plan_with(SCALING)
    np.testing.assert_allclose(normalise_channel(clip_to_plan(hu, plan), plan).ravel(), [-5.5, -5.5, 0, 1, 7, 7])


@pytest.mark.parametrize("channels", [("CT",), ("CT", "T2")])
def test_the_numbers_are_in_the_plan_and_nnunet_scales_by_them(channels: tuple[str, ...], tmp_path: Path) -> None:
    plan = make_plan_with(SCALING, channels)
    save_plan(plan, tmp_path)
    assert load_plan(tmp_path) == plan
    plans = pytest.importorskip("nnunetv2.utilities.plans_handling.plans_handler")
    schemes = pytest.importorskip("nnunetv2.preprocessing.normalization.default_normalization_schemes")
    manager = plans.PlansManager(str(tmp_path / "plans.json"))
    schemes_of_plan = manager.get_configuration("3d_fullres").normalization_schemes
    assert schemes_of_plan == ["CTNormalization", "ZScoreNormalization"][: len(channels)]
    properties = manager.foreground_intensity_properties_per_channel["0"]
    hu = np.random.default_rng(1).integers(-1024, 3000, (4, 5, 6)).astype(np.float32)
    theirs = schemes.CTNormalization(use_mask_for_norm=False, intensityproperties=properties).run(hu.copy())
    np.testing.assert_allclose(normalise_channel(clip_to_plan(hu, plan), plan), theirs, rtol=1e-6, atol=1e-6)


def test_no_scan_is_read_for_a_fixed_scaling(write_cohort: WriteCohort) -> None:
    cohort = write_cohort([GRID])
    for case in cohort.cases:
        case.image.unlink()
    plan = make_plan(cohort, PlanSettings(normalisation="ct", ct_scaling=SCALING, preset="XS", patch_size=(16, 16, 32)))
    assert plan.intensities == (SCALING.as_intensity(),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lower": 1500}, "lower is 1500 HU, expected less than upper"),
        ({"mean": 2000}, "mean is 2000 HU, expected one between"),
        ({"sd": 0}, "greater than 0"),
        ({"sd": float("inf")}, "less than or equal|finite"),
        ({"upper": float("nan")}, "finite|less than"),
        ({"window": 3}, "Extra inputs"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CTScaling(**{**SCALING.model_dump(), **change})


def test_the_scaling_requires_ct_normalisation() -> None:
    with pytest.raises(BadInput, match="ct_scaling is for normalisation ct, not zscore"):
        load_recipe("real_small", ["pretraining.plan.normalisation=zscore"])


def test_scans_prepared_by_other_intensities_are_refused(write_cohort: WriteCohort, tmp_path: Path) -> None:
    small = [f"task.plan.{change}" for change in ("patch_size=[16, 16, 32]", "spacing=[3, 2, 2]")]
    recipe = load_recipe("demo", [*small, "structures=[one, two]", f"task.plan.ct_scaling={SET}"])
    cohort = write_cohort([GRID] * 3)
    measured = recipe.stage("task").plan.model_copy(update={"ct_scaling": None})
    prepared = prepare(cohort, make_plan(cohort, measured), tmp_path / "prepared")
    split = Split((), (("p0",), ("p1", "p2")), 0)
    with pytest.raises(BadInput, match=r"gives ct_scaling, .* were prepared with other intensities"):
        finetune_alone(prepared, recipe, "task", split, None, tmp_path / "run")
    scaled = prepare(cohort, make_plan(cohort, recipe.stage("task").plan), tmp_path / "scaled")
    task = recipe.stage("task").model_copy(update={"plan": measured})
    with pytest.raises(BadInput, match=r"has no ct_scaling, but .* were prepared with one"):
        finetune_alone(scaled, recipe.model_copy(update={"task": task}), "task", split, None, tmp_path / "run")
    assert json.loads((prepared.folder / "plans.json").read_text())["plans_name"] == "GynBTNetPlans"
