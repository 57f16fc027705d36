from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.imaging import Geometry
from gynbtnet.preparation.planning.fingerprint import Fingerprint, take_fingerprint
from gynbtnet.preparation.planning.make_plan import make_plan
from gynbtnet.preparation.planning.plan import SYNTHETIC_NOTE
from gynbtnet.preparation.planning.plan_files import load_plan, save_plan
from gynbtnet.preparation.planning.settings import PlanSettings
from gynbtnet.runtime import BadInput

from ..conftest import WriteCohort

SMALL = {"preset": "XS", "patch_size": (16, 16, 16)}


def fingerprint(shape: tuple[int, int, int] = (120, 512, 512), cases: int = 30) -> Fingerprint:
    return Fingerprint(("CT",), ("bladder",), ((2.5, 0.9, 0.9),) * cases, (shape,) * cases, None)


def test_what_the_settings_leave_open_the_cohort_fills_in(write_cohort: WriteCohort) -> None:
    cohort = write_cohort([Geometry((8, 8, 8), (2.0, 1.0, 1.0))])
    plan = make_plan(cohort, PlanSettings(normalisation="ct", **SMALL))
    assert plan.spacing == (2.0, 1.0, 1.0)
    assert plan.structures == ("one", "two")
    assert plan.channels == ("CT",)
    assert plan.intensities is not None
    assert np.prod(plan.strides, axis=0).tolist() == [16, 16, 16]
    fixed = make_plan(cohort, PlanSettings(spacing=(1.5, 1.5, 1.5), separate_z="never", **SMALL))
    assert (fixed.spacing, fixed.intensities, fixed.separate_z) == ((1.5, 1.5, 1.5), None, "never")


def test_a_plan_from_a_fingerprint_reads_no_scan(write_cohort: WriteCohort, tmp_path: Path) -> None:
    cohort = write_cohort([Geometry((8, 8, 8), (2.0, 1.0, 1.0)), Geometry((8, 16, 16), (3.0, 1.0, 1.0))])
    settings = PlanSettings(normalisation="ct", **SMALL)
    expected = make_plan(cohort, settings)
    take_fingerprint(cohort).save(tmp_path / "kept")
    for case in cohort.cases:
        case.image.unlink()
    assert make_plan(Fingerprint.load(tmp_path / "kept"), settings) == expected


def test_ct_normalisation_needs_a_voxel_inside_a_structure(write_cohort: WriteCohort) -> None:
    unlabelled = write_cohort([Geometry((8, 8, 8))], labelled=False)
    with pytest.raises(BadInput, match="zscore"):
        make_plan(unlabelled, PlanSettings(normalisation="ct"))
    with pytest.raises(BadInput, match="no case"):
        make_plan(unlabelled.of_patients([]), PlanSettings())


def test_patch_and_batch_for_a_memory_budget() -> None:
    settings = PlanSettings(preset="B", patch_size=None, batch_size=None, plan_memory_gb=12)
    plan = make_plan(fingerprint(), settings)
    assert plan.batch_size >= 2
    assert all(n % 16 == 0 for n in plan.patch_size)
    assert len(plan.notes) == 1
    assert "12 GB" in plan.notes[0]


def test_patch_and_batch_are_the_papers_by_default() -> None:
    plan = make_plan(fingerprint(), PlanSettings())
    assert (plan.patch_size, plan.batch_size, plan.preset, plan.notes) == ((80, 160, 160), 2, "L", ())


def test_a_plan_from_synthetic_scans_carries_it(write_cohort: WriteCohort, tmp_path: Path) -> None:
    plan = make_plan(write_cohort([Geometry((8, 8, 8))]), PlanSettings())
    assert SYNTHETIC_NOTE in plan.notes
    assert SYNTHETIC_NOTE not in make_plan(fingerprint(), PlanSettings()).notes
    save_plan(plan, tmp_path)
    assert SYNTHETIC_NOTE in load_plan(tmp_path).notes
    replace(fingerprint(), is_synthetic=True).save(tmp_path)
    assert Fingerprint.load(tmp_path).is_synthetic


def test_more_memory_than_there_is() -> None:
    with pytest.raises(BadInput, match=r"Preset L with 2 patches .* needs .* GB .* allows 4; choose a smaller preset"):
        make_plan(fingerprint(), PlanSettings(patch_size=None, plan_memory_gb=4))
