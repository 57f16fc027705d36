"""The clinical population against published volumes, distances, sizes and noise."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from gynbtnet.phantom.anatomy.patient import draw_fraction, draw_patient
from gynbtnet.phantom.case import PhantomCase, pelvic_geometry, phantom_case
from gynbtnet.phantom.rendering.noise import add_noise
from gynbtnet.phantom.rendering.scene import STRUCTURES, build_scene
from gynbtnet.phantom.shapes.grid_points import GridPoints

PATIENTS = 24
GRID = pelvic_geometry((4.0, 4.0, 4.0), (50, 60, 70))
COARSE = pelvic_geometry((6.0, 5.0, 5.0), (28, 44, 60))


@dataclass(frozen=True)
class Anatomy:
    """Volumes in cm³ by structure, and distances in mm from the tandem: to the sigmoid, and to the HR-CTV's edge."""

    volumes: dict[str, float]
    sigmoid_distance: float
    lateral_extent: float


def measure(number: int) -> Anatomy:
    """Measure a patient's labels, painted without the scan."""
    patient = draw_patient(0, number, "brachytherapy", "clinical")
    fraction = replace(draw_fraction(patient, number % 3), setup=np.zeros(3))
    scene = build_scene(patient, fraction)
    assert scene.applicator is not None
    points = GridPoints.from_geometry(GRID, fraction.setup)
    labels = np.zeros(GRID.shape, np.uint8)
    for layer in scene.layers:
        window = points.window(layer.box) if layer.structure else None
        if layer.structure and window:
            labels[window][layer.distance(points[window]) < 0] = STRUCTURES.index(layer.structure) + 1
    tandem = scene.applicator.tandem.path
    sigmoid, target = (GRID.to_world(np.argwhere(labels == 1 + STRUCTURES.index(s))) for s in ("sigmoid", "hr_ctv"))
    upwards = np.argsort(tandem[:, 2])
    middle = np.interp(target[:, 2], tandem[upwards, 2], tandem[upwards, 0])
    return Anatomy(
        {
            s: float((labels == i).sum()) * float(np.prod(GRID.spacing)) / 1000
            for i, s in enumerate(STRUCTURES, start=1)
        },
        float(np.linalg.norm(sigmoid[:, None] - tandem[None], axis=-1).min()),
        float(np.abs(target[:, 0] - middle).max()) + GRID.spacing[2] / 2,
    )


@pytest.fixture(scope="module")
def anatomies() -> list[Anatomy]:
    return [measure(number) for number in range(PATIENTS)]


@pytest.fixture(scope="module")
def cases() -> list[PhantomCase]:
    """Return scans without an applicator, whose streaks would change the HU."""
    return [phantom_case(0, number, 0, COARSE, "organs", "clinical") for number in range(4)]


def test_bladder_and_rectum_have_the_published_volumes(anatomies: list[Anatomy]) -> None:
    """Planning CTs of 22 patients, mean and SD (10.4103/0971-6203.39417); range of CBCTs (10.3892/mco.2015.704)."""
    published = {"bladder": (138, 41, 1.7, 626.5), "rectum": (60, 28, 11.3, 139.7)}
    for structure, (mean, deviation, lowest, highest) in published.items():
        volumes = np.asarray([anatomy.volumes[structure] for anatomy in anatomies])
        assert volumes.mean() == pytest.approx(mean, rel=0.2), structure
        assert 0.5 * deviation < volumes.std() < 1.6 * deviation, structure
        assert lowest < volumes.min() and volumes.max() < highest, structure


def test_the_target_has_the_published_volume_and_width(anatomies: list[Anatomy]) -> None:
    """Median volume on MRI (10.1016/S1470-2045(20)30753-1), exceeded on CT (10.1016/j.ijrobp.2014.06.005);

    distance from the tandem to the lateral edge on CT (10.1186/1471-2407-14-447).
    """
    volumes = np.asarray([anatomy.volumes["hr_ctv"] for anatomy in anatomies])
    assert 28 < np.median(volumes) < 1.5 * 28
    assert volumes.max() > 2.5 * volumes.min()
    extents = np.asarray([anatomy.lateral_extent for anatomy in anatomies])
    assert np.median(extents) == pytest.approx(29.2, abs=5)
    assert extents.min() > 18.0 - 4 and extents.max() < 51.9 + 10


def test_the_sigmoid_is_at_the_published_distance_from_the_tandem(anatomies: list[Anatomy]) -> None:
    """Median 17 mm, 1 to 61.6 mm, in 50 patients (10.1016/j.radonc.2009.06.032)."""
    distances = np.asarray([anatomy.sigmoid_distance for anatomy in anatomies])
    assert np.median(distances) == pytest.approx(17, abs=8)
    assert distances.min() > 1 and distances.max() < 61.6
    assert np.ptp(distances) > 20


def test_the_uterus_has_the_published_length() -> None:
    """72.1 mm with an SD of 16.7 mm, in 517 women of 45 years and more (Normograms of Ovarian Volume, Uterine Size and

    Endometrial Thickness in Urban Midlife Malaysia Women, Medicine & Health).
    """
    patients = [draw_patient(0, number, "brachytherapy", "clinical") for number in range(200)]
    lengths = 24 + np.asarray([patient.uterus_length for patient in patients])
    assert lengths.mean() == pytest.approx(72.1, abs=6)
    assert 8 < lengths.std() < 17


def test_patients_differ_more_than_in_the_simple_population() -> None:
    spreads = []
    for realism in ("simple", "clinical"):
        patients = [draw_patient(0, number, "brachytherapy", realism) for number in range(100)]
        spreads.append(
            [
                np.std([getattr(patient, name) for patient in patients])
                for name in ("version", "deviation", "uterus_length", "uterus_radius", "sigmoid_radius")
            ]
            + [np.std([patient.fat[0] for patient in patients]), np.std([patient.skeleton[0] for patient in patients])]
            + [len({patient.ring for patient in patients})]
        )
    assert np.all(np.asarray(spreads[1]) > spreads[0])


def test_contrasts_are_a_few_hu(cases: list[PhantomCase]) -> None:
    def median(case: PhantomCase, mask: np.ndarray) -> float:
        return float(np.median(case.scan.array[mask]))

    contrasts = [
        median(case, case.structures.mask("hr_ctv")) - median(case, case.structures.mask("uterus")) for case in cases
    ]
    assert np.abs(contrasts).max() < 12
    assert np.std(contrasts) > 0.5
    sigmoid, bowel = (
        np.concatenate([case.scan.array[mask] for case, mask in zip(cases, masks, strict=True)])
        for masks in (
            [case.structures.mask("sigmoid") for case in cases],
            [case.organs.mask("small_bowel") for case in cases],
        )
    )
    wall_and_stool, wall_and_fluid = sigmoid[sigmoid > 0], bowel[bowel > 0]
    assert np.median(wall_and_stool) == pytest.approx(np.median(wall_and_fluid), abs=8)


@pytest.mark.parametrize("spacing", [(3.0, 1.0, 1.0), (1.5, 1.0, 1.0), (5.0, 4.0, 4.0)])
def test_the_noise_is_that_of_a_protocol_for_slices_of_3_mm(spacing: tuple[float, float, float]) -> None:
    """Automatic exposure control aims for 11 to 15 HU in pelvic CT of women (10.3348/kjr.2015.16.5.1047)."""
    fraction = draw_fraction(draw_patient(0, 0, "brachytherapy", "clinical"), 0)
    assert 10 <= fraction.noise <= 15
    size = round(330 / spacing[2])  # water of 330 mm: an average patient
    axis = spacing[2] * np.arange(size, dtype=np.float64)
    points = GridPoints(spacing[0] * np.arange(8, dtype=np.float64), axis, axis)
    noise = add_noise(np.zeros(points.shape), points, fraction, 0, spacing[0])
    assert noise.std() == pytest.approx(fraction.noise * np.sqrt(3 / spacing[0]), rel=0.05)
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0)[:, 1:]  # without the streaks along x
    along = np.fft.fftfreq(size, spacing[2])
    frequency = np.hypot(along[:, None], along[None, 1:])
    edges = np.linspace(0, 0.5 / spacing[2], 9)
    means = [power[(frequency >= a) & (frequency < b)].mean() for a, b in pairwise(edges)]
    if spacing[2] == 1.0:
        assert 0.125 <= edges[int(np.argmax(means))] <= 0.25
        assert max(means[0], means[-1]) < 0.6 * max(means)
    else:  # the kernel's frequencies are above those of the pixels, so that aliasing makes the noise white
        assert min(means) > 0.7 * max(means)


def test_a_ring_stands_in_for_ovoids_and_a_dose_is_planned() -> None:
    patient = replace(draw_patient(0, 0, "brachytherapy", "clinical"), ring=True)
    scene = build_scene(patient, draw_fraction(patient, 0))
    assert scene.applicator is not None
    centre = scene.axis.os - 8 * scene.axis.canal
    radii = np.linalg.norm(scene.applicator.ovoid_dwells - centre, axis=1)
    assert radii == pytest.approx(patient.ovoid_radius + 3)
    assert (scene.applicator.ovoid_dwells - centre) @ scene.axis.canal == pytest.approx(0, abs=1e-9)
