"""Properties of a synthetic patient: reproducible, the same person in each fraction, plausible, closed."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from gynbtnet.phantom.anatomy.patient import KINDS, draw_fraction, draw_patient
from gynbtnet.phantom.case import PhantomCase, pelvic_geometry, phantom_case
from gynbtnet.phantom.rendering import render as scan
from gynbtnet.phantom.rendering.scene import STRUCTURES, build_scene

COARSE = pelvic_geometry((4.0, 4.0, 4.0), (48, 72, 96))
TINY = pelvic_geometry((12.0, 12.0, 12.0), (16, 24, 32))


@pytest.fixture(scope="module")
def cases() -> list[PhantomCase]:
    return [phantom_case(7, patient, patient % 2, COARSE) for patient in range(6)]


def checksum(case: PhantomCase) -> str:
    return hashlib.sha256(case.scan.array.tobytes() + case.structures.labels.array.tobytes()).hexdigest()[:16]


def test_the_same_numbers_give_the_same_voxels_on_any_machine() -> None:
    assert checksum(phantom_case(0, 1, 2, TINY)) == "d1641b1dbf20de09"
    assert checksum(phantom_case(0, 1, 2, TINY, realism="clinical")) == "beaf08daf1a85e7f"


@pytest.mark.slow
def test_other_numbers_give_other_voxels() -> None:
    checksums = {checksum(phantom_case(*numbers, TINY)) for numbers in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}
    checksums |= {checksum(phantom_case(0, 0, 0, TINY, kind)) for kind in KINDS}
    assert len(checksums) == 4 + 2


@pytest.mark.slow
def test_memory_is_bounded_by_slabs_that_leave_no_trace() -> None:
    patient = draw_patient(0, 3, "brachytherapy")
    fraction = draw_fraction(patient, 0)
    scene = build_scene(patient, fraction)
    whole, by_slice = (scan.render(scene, patient, fraction, TINY, slab_voxels=size) for size in (10**6, 1))
    assert np.array_equal(whole.scan, phantom_case(0, 3, 0, TINY).scan.array)
    assert np.array_equal(by_slice.scan, whole.scan)
    assert np.array_equal(by_slice.structures, whole.structures)
    assert np.array_equal(by_slice.organs, whole.organs)


def test_fractions_share_the_anatomy_and_differ_in_moving_organs() -> None:
    patient = draw_patient(7, 2, "brachytherapy")
    fractions = [replace(draw_fraction(patient, n), setup=np.zeros(3)) for n in (0, 1)]
    first, second = (scan.render(build_scene(patient, f), patient, f, COARSE) for f in fractions)
    for bone in ("hip_left", "hip_right", "femur_left", "femur_right"):
        label = first.organ_names.index(bone) + 1
        assert np.array_equal(first.organs == label, second.organs == label)
    bladder = 1 << STRUCTURES.index("bladder")
    sizes = [(r.structures & bladder != 0).sum() for r in (first, second)]
    assert (sizes[0] > sizes[1]) == (fractions[0].bladder_volume > fractions[1].bladder_volume)
    assert not np.array_equal(first.structures, second.structures)


@pytest.mark.slow
def test_structures_are_complete_inside_the_body_and_of_plausible_size(cases: list[PhantomCase]) -> None:
    limits = {"hr_ctv": (15, 90), "bladder": (25, 320), "rectum": (35, 180), "sigmoid": (30, 200), "uterus": (12, 140)}
    for case in cases:
        body = np.stack([ndimage.binary_fill_holes(plane > -300) for plane in case.scan.array])
        for structure in STRUCTURES:
            mask = case.structures.mask(structure)
            low, high = limits[structure]
            assert low < case.structures.volume_cm3(structure) < high, structure
            component_sizes = np.bincount(ndimage.label(mask, np.ones((3, 3, 3)))[0].ravel())[1:]
            assert component_sizes.max() >= 0.98 * mask.sum(), structure
            assert body[mask].mean() > 0.999, structure


@pytest.mark.slow
def test_the_volume_does_not_depend_on_the_grid() -> None:
    fine = phantom_case(7, 0, 0, pelvic_geometry((2.0, 2.0, 2.0), (96, 144, 192)))
    coarse = phantom_case(7, 0, 0, COARSE)
    for structure in STRUCTURES:
        assert coarse.structures.volume_cm3(structure) == pytest.approx(fine.structures.volume_cm3(structure), rel=0.08)


def test_tissues_have_their_hu(cases: list[PhantomCase]) -> None:
    def median(mask: Sequence[Any]) -> float:
        return float(np.median(np.concatenate([case.scan.array[m] for case, m in zip(cases, mask, strict=True)])))

    def core(structure: str) -> list[np.ndarray]:
        return [ndimage.binary_erosion(case.structures.mask(structure)) for case in cases]

    assert median([case.scan.array[:2] < 9999 for case in cases] and [np.s_[:, :2, :]] * len(cases)) == pytest.approx(
        -1000, abs=15
    )
    assert median([case.organs.mask("gluteus_maximus_left") for case in cases]) == pytest.approx(54, abs=8)
    assert median([ndimage.binary_erosion(case.organs.mask("hip_left")) for case in cases]) > 200
    bladder, target, womb = median(core("bladder")), median(core("hr_ctv")), median(core("uterus"))
    assert bladder == pytest.approx(6, abs=12)
    assert target - bladder > 25
    assert 0 < target - womb < 20


def test_noise_is_that_of_a_ct() -> None:
    case = phantom_case(7, 0, 0, pelvic_geometry((2.0, 1.0, 1.0), (12, 288, 384), (0.0, 0.0, 40.0)), "organs")
    muscle = ndimage.binary_erosion(case.organs.mask("gluteus_maximus_left"), iterations=3)
    values = np.where(muscle, case.scan.array - case.scan.array[muscle].mean(), 0.0)
    assert 10 < values[muscle].std() < 30
    beside = muscle[:, :, 1:] & muscle[:, :, :-1]
    correlation = (values[:, :, 1:] * values[:, :, :-1])[beside].mean() / values[muscle].var()
    assert 0.1 < correlation < 0.9


def test_an_implant_is_seen_and_its_absence_too(cases: list[PhantomCase]) -> None:
    for case in cases:
        assert case.dose is not None
        assert case.scan.array[case.structures.mask("hr_ctv")].max() > 400
    without = phantom_case(7, 0, 0, COARSE, "organs")
    assert without.dose is None
    assert without.scan.array[without.structures.mask("uterus")].max() < 200
