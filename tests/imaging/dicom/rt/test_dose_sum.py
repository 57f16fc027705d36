from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from gynbtnet.imaging.dicom.rt.dose_sum import group_doses_by_plan, sum_doses
from gynbtnet.imaging.dicom.rt.rtdose_reader import Dose, read_rtdose
from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.resample_to_grid import resample_dose, resample_segmentation
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime import BadInput

GRID = Geometry((6, 7, 8), (2.0, 1.5, 1.0), (3.0, -2.0, 10.0))


def dose(uid, plan=("1.1",), summation="PLAN", grid=GRID, seed=0, **changes):
    array = np.random.default_rng(seed).random(grid.shape).astype(np.float32)
    return replace(Dose(Volume(array, grid), "PHYSICAL", summation, tuple(plan), uid, "1.2"), **changes)


def test_a_dose_on_a_scan_is_interpolated_linearly_and_nothing_outside(axis_direction):
    of = dose("1", grid=replace(GRID, direction=axis_direction)).grid
    corner = of.geometry.to_world((2.6, 3.1, 3.4)) - [5.4, 6.6, 7.8]
    scan = Geometry((13, 13, 13), (1.3, 1.1, 0.9), tuple(corner))
    found = resample_dose(of, scan)
    where = of.geometry.to_index(scan.to_world(np.indices(scan.shape).reshape(3, -1).T))
    last = np.asarray(of.geometry.shape) - 1
    inside = ((where >= 0) & (where <= last)).all(axis=1)
    outside = ((where < -0.51) | (where > last + 0.51)).any(axis=1)
    expected = map_coordinates(of.array, where.T, order=1, mode="nearest")
    assert inside.any()
    assert outside.any()
    assert np.allclose(found.array.ravel()[inside], expected[inside], atol=1e-5)
    assert not found.array.ravel()[outside].any()
    assert found.geometry == scan


def test_labels_on_a_scan_are_those_of_the_nearest_voxel(axis_direction):
    geometry = replace(GRID, direction=axis_direction)
    labels = Volume(np.random.default_rng(1).integers(0, 9, GRID.shape).astype(np.uint8), geometry)
    scan = Geometry((5, 5, 5), (1.3, 1.1, 0.9), tuple(geometry.to_world((1.21, 1.19, 1.13))), axis_direction)
    found = resample_segmentation(labels, scan)
    where = np.rint(geometry.to_index(scan.to_world(np.indices(scan.shape).reshape(3, -1).T))).astype(int)
    inside = ((where >= 0) & (where < GRID.shape)).all(axis=1)
    assert found.array.dtype == np.uint8
    assert np.array_equal(found.array.ravel()[inside], labels.array[tuple(where[inside].T)])
    assert not found.array.ravel()[~inside].any()


def test_plans_add_up_on_the_scan():
    finer = Geometry((12, 14, 16), (1.0, 0.75, 0.5), GRID.origin)
    first, second = dose("1"), dose("2", plan=("1.3",), grid=finer, seed=1)
    total = sum_doses([first, second], GRID)
    assert np.allclose(total.array, first.grid.array + resample_dose(second.grid, GRID).array)
    assert set(group_doses_by_plan([first, second])) == {("1.1",), ("1.3",)}


def test_nothing_counts_twice():
    plan, copy = dose("1"), dose("1")
    parts = [dose("2", summation="BRACHY", seed=2), dose("3", summation="BRACHY", seed=3)]
    other = dose("4", plan=("1.3",), summation="BRACHY", seed=4)
    both = dose("5", plan=("1.1", "1.3"), summation="MULTI_PLAN", seed=5)
    assert np.array_equal(sum_doses([plan, copy, *parts], GRID).array, plan.grid.array)
    assert np.allclose(sum_doses(parts, GRID).array, parts[0].grid.array + parts[1].grid.array)
    assert np.allclose(sum_doses([both, plan, other], GRID).array, plan.grid.array + other.grid.array)
    assert np.array_equal(sum_doses([both], GRID).array, both.grid.array)


def test_nothing_counts_twice_if_no_dose_states_its_plan():
    """Anonymisers remove ReferencedRTPlanSequence from all files; the PLAN dose contains its beams and setups."""
    plan = dose("1", plan=())
    shares = [
        replace(plan, uid=uid, summation_type=kind, grid=replace(plan.grid, array=plan.grid.array * share))
        for uid, kind, share in (
            ("beam 1", "BEAM", 0.4),
            ("beam 2", "BEAM", 0.6),
            ("brachy", "BRACHY", 1),
            ("fraction", "FRACTION", 1),
        )
    ]
    both = replace(plan, uid="5", summation_type="MULTI_PLAN")

    def counted_uids(*doses):
        return [counted.uid for group in group_doses_by_plan(doses).values() for counted in group]

    for parts in (shares[:2], shares[2:3], shares, [both]):
        assert counted_uids(plan, *parts) == counted_uids(*parts, plan) == [plan.uid]
    assert counted_uids(*shares, both) == ["fraction"]
    assert counted_uids(*shares[:2], both) == ["beam 1", "beam 2"]


@pytest.mark.parametrize("kinds", [("PLAN", "BEAM"), ("BEAM", "PLAN"), ("PLAN", "PLAN")])
def test_a_dose_with_a_plan_is_not_added_to_one_without(kinds):
    with pytest.raises(BadInput, match=r"The dose 1 doesn't state its plan .*, and The dose 2 does"):
        sum_doses([dose("1", plan=(), summation=kinds[0]), dose("2", summation=kinds[1], seed=1)], GRID)


@pytest.mark.parametrize(
    ("doses", "sentence"),
    [
        (
            [dose("1", plan=()), dose("2", plan=(), summation="BRACHY", seed=1)],
            "The dose 1 and The dose 2 don't state their plan .* exceeds the PLAN dose",
        ),
        (
            [dose("1", plan=()), dose("2", plan=(), seed=1)],
            r"different PLAN doses and don't state their plan \(ReferencedRTPlanSequence\); expected one",
        ),
        (
            [dose("1", plan=(), summation="BEAM"), dose("2", plan=(), summation="BEAM")],
            "are equal BEAM doses and don't state of which part",
        ),
    ],
)
def test_doses_that_do_not_state_their_plan(doses, sentence):
    with pytest.raises(BadInput, match=sentence):
        sum_doses(doses, GRID)


@pytest.mark.parametrize(
    ("doses", "sentence"),
    [
        ([], "no dose to sum"),
        ([dose("1"), dose("2", dose_type="EFFECTIVE")], "types EFFECTIVE, PHYSICAL"),
        ([dose("1", summation="RECORD")], "DoseSummationType “RECORD”"),
        ([dose("1"), dose("2", plan=("1.3",), frame_of_reference_uid="9")], "2 frames of reference"),
    ],
)
def test_what_cannot_be_summed_is_named(doses, sentence):
    with pytest.raises(BadInput, match=sentence):
        sum_doses(doses, GRID)


def test_a_file_states_whose_dose_it_is(ct, tmp_path):
    write_rtdose(dose("1").grid, ct, tmp_path / "dose.dcm", description="test")
    read = read_rtdose(tmp_path / "dose.dcm")
    assert (read.dose_type, read.summation_type, len(read.plan_uids)) == ("PHYSICAL", "PLAN", 1)
    assert read.frame_of_reference_uid == ct.frame_of_reference_uid
    assert read.uid
    assert np.allclose(sum_doses([read], GRID).array, dose("1").grid.array, atol=1e-6)
