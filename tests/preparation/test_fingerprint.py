import numpy as np
import pytest

from gynbtnet.errors import BadInput
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.preparation.fingerprint import foreground_intensity, make_plan, target_spacing
from gynbtnet.preparation.settings import PlanSettings

from .conftest import WriteCohort

SMALL = {"preset": "XS", "patch_size": (16, 16, 16)}


def grids(spacings: list[tuple[float, float, float]], shape: tuple[int, int, int]) -> list[Geometry]:
    return [Geometry(shape, spacing) for spacing in spacings]


def test_the_median_where_slices_are_thin() -> None:
    scans = grids([(1.0, 0.5, 0.5), (2.0, 0.7, 0.7), (2.5, 0.9, 0.8)], (100, 512, 512))
    assert target_spacing(scans) == (2.0, 0.7, 0.7)


def test_the_tenth_percentile_where_slices_are_thick_and_few() -> None:
    spacings = [(float(z), 0.8, 0.7) for z in (2, 3, 4, 5, 5, 5, 5, 5, 5, 6, 6)]
    assert target_spacing(grids(spacings, (60, 512, 512))) == (3.0, 0.8, 0.7)
    assert target_spacing(grids(spacings, (171, 512, 512))) == (5.0, 0.8, 0.7)  # thick, but many


def test_the_tenth_percentile_is_never_finer_than_the_plane() -> None:
    spacings = [(z, 0.9, 0.9) for z in (0.5, 0.5, 5.0, 5.0, 5.0, 5.0)]
    assert target_spacing(grids(spacings, (60, 512, 512))) == (0.9, 0.9, 0.9)


def test_axes_count_as_they_lie_in_the_patient() -> None:
    sagittal = Geometry((512, 512, 60), (0.8, 0.8, 5.0), direction=(0, 0, 1.0, 0, 1.0, 0, -1.0, 0, 0))
    assert target_spacing([sagittal]) == target_spacing(grids([(5.0, 0.8, 0.8)], (60, 512, 512)))


def test_intensity_inside_the_structures(write_cohort: WriteCohort) -> None:
    intensity = foreground_intensity(write_cohort([Geometry((8, 8, 8)), Geometry((16, 16, 16))]))
    assert intensity.mean == pytest.approx(150, abs=0.1)  # as many voxels of 100 HU as of 200
    assert intensity.std == pytest.approx(50, abs=0.1)
    assert (intensity.percentile_00_5, intensity.percentile_99_5) == (100, 200)


def test_what_the_settings_leave_open_the_cohort_fills_in(write_cohort: WriteCohort) -> None:
    cohort = write_cohort([Geometry((8, 8, 8), (2.0, 1.0, 1.0))])
    plan = make_plan(cohort, PlanSettings(normalisation="ct", **SMALL))
    assert plan.spacing == (2.0, 1.0, 1.0)
    assert plan.structures == ("one", "two")
    assert plan.intensity is not None
    assert np.prod(plan.strides, axis=0).tolist() == [16, 16, 16]
    fixed = make_plan(cohort, PlanSettings(spacing=(1.5, 1.5, 1.5), **SMALL))
    assert (fixed.spacing, fixed.intensity) == ((1.5, 1.5, 1.5), None)


def test_a_plan_without_a_cohort(write_cohort: WriteCohort) -> None:
    assert make_plan(None, PlanSettings(spacing=(1.5, 1.5, 1.5))).structures == ()
    for open_settings in (PlanSettings(), PlanSettings(spacing=(1, 1, 1), normalisation="ct")):
        with pytest.raises(BadInput, match="cohort"):
            make_plan(None, open_settings)
    unlabelled = write_cohort([Geometry((8, 8, 8))], labelled=False)
    with pytest.raises(BadInput, match="zscore"):
        make_plan(unlabelled, PlanSettings(normalisation="ct"))
    with pytest.raises(BadInput, match="no case"):
        make_plan(unlabelled.of_patients([]), PlanSettings())
