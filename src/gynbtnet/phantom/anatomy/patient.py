"""Random properties of a synthetic patient and of each fraction."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gynbtnet.phantom.anatomy.population import POPULATIONS, Realism
from gynbtnet.runtime.array_types import FloatArray

Kind = Literal["unlabelled", "organs", "brachytherapy"]
KINDS: tuple[Kind, ...] = ("unlabelled", "organs", "brachytherapy")


@dataclass(frozen=True)
class Patient:
    """Properties of a patient that are the same in all fractions. Lengths are in mm, angles in degrees.

    Attributes:
        identity: Seed, kind and number, the seed of every random field of this patient.
        realism: Population from which the patient is drawn.
        skeleton: Scale of the bones along (x, y, z), 1 for the average woman.
        fat: Thickness of the subcutaneous fat in front, at the side, at the back.
        muscle: Scale of the muscles' thickness.
        bone: Scale of bone density.
        cervix: Displacement (x, y, z) of the cervix from its average position.
        version: Angle between the uterus' body and the patient's axis, positive forward (ante-), negative backward.
        deviation: Angle of the uterus' body to the left.
        uterus_length: Length from internal os to fundus.
        uterus_radius: Largest radius of the uterus' body, from front to back.
        target_radii: Half axes of the HR-CTV around the cervix: across, front to back, along the uterus.
        parametrium: Extension of the target into the left and right parametrium.
        vaginal_extension: Extension of the target down the vagina.
        target_contrast: HU of the target above the uterus.
        target_border: Standard deviation of the target's surface around its smooth form.
        strands: Share of soft tissue in the strands around the target.
        parametrial_hu: Mean HU of the parametrial tissue.
        rectum_radius: Radius of the empty rectum.
        rectum_knots: Displacement (n, 3) of the rectum's course.
        sigmoid_knots: Course (n, 3) of the sigmoid between rectum and descending colon.
        sigmoid_radius: Radius of the empty sigmoid.
        rim: Thickness of the fat around uterus and bowel.
        bladder_width: Width of the bladder divided by its height.
        pelvic_loops: Number of small-bowel loops next to sigmoid and uterus.
        ring: If true, the applicator is a tandem and ring, otherwise a tandem and ovoids.
        metal: 1 for a steel applicator, 0 for carbon fibre, between them for titanium.
        ovoid_radius: Radius of the colpostat caps.
        tandem_bend: Share of the uterus' angle that remains with a tandem.
        balloon: HU of the dilute contrast in the Foley balloon.
        residual_size: Half axes of the residual tumour, relative to those of the target.
        residual_offset: Displacement of its centre from that of the target, relative to the target's half axes: across,
            front to back, along the uterus.
    """

    identity: tuple[int, ...]
    realism: Realism
    skeleton: tuple[float, float, float]
    fat: tuple[float, float, float]
    muscle: float
    bone: float
    cervix: tuple[float, float, float]
    version: float
    deviation: float
    uterus_length: float
    uterus_radius: float
    target_radii: tuple[float, float, float]
    parametrium: tuple[float, float]
    vaginal_extension: float
    target_contrast: float
    target_border: float
    strands: float
    parametrial_hu: float
    rectum_radius: float
    rectum_knots: FloatArray
    sigmoid_knots: FloatArray
    sigmoid_radius: float
    rim: float
    bladder_width: float
    pelvic_loops: int
    ring: bool
    metal: float
    ovoid_radius: float
    tandem_bend: float
    balloon: float
    residual_size: float
    residual_offset: tuple[float, float, float]


@dataclass(frozen=True)
class Fraction:
    """Properties of a patient that differ between fractions. Lengths are in mm, angles in degrees.

    Attributes:
        identity: Identity of the patient and number of the fraction.
        setup: Displacement (x, y, z) of the whole patient.
        implant: If true, an applicator is implanted.
        bladder_volume: Volume in cm³ before neighbours dent the bladder.
        rectum_filling: Scale of the rectum's radius at n positions from the anus up.
        rectum_gas: Share of the lumen with gas, per position.
        rectum_stool: HU of the other contents, per position.
        sigmoid_shift: Displacement (n, 3) of the sigmoid's course.
        sigmoid_filling: Scale of the sigmoid's radius, per position.
        sigmoid_gas: Share of the lumen with gas, per position.
        sigmoid_stool: HU of the other contents, per position.
        applicator_rotation: Rotation about x, y, z.
        applicator_depth: Displacement of the applicator into the patient.
        ovoid_gap: Distance between the surfaces of the ovoids.
        target_scale: Scale of the target, which shrinks during treatment.
        noise: Standard deviation of the noise in HU behind an average patient, at ``noise_slice``.
        noise_slice: Slice thickness for which ``noise`` is given, or None if it is that of any voxel size.
    """

    identity: tuple[int, ...]
    setup: FloatArray
    implant: bool
    bladder_volume: float
    rectum_filling: FloatArray
    rectum_gas: FloatArray
    rectum_stool: FloatArray
    sigmoid_shift: FloatArray
    sigmoid_filling: FloatArray
    sigmoid_gas: FloatArray
    sigmoid_stool: FloatArray
    applicator_rotation: FloatArray
    applicator_depth: float
    ovoid_gap: float
    target_scale: float
    noise: float
    noise_slice: float | None


def draw_patient(seed: int, number: int, kind: Kind, realism: Realism = "simple") -> Patient:
    """Draw the patient ``number`` of a cohort; cohorts of different kinds share no patient.

    Args:
        seed: seed of the cohort.
        number: number of the patient, from 0.
        kind: kind of the cohort.
        realism: population from which the patient is drawn.

    Returns:
        The anatomy; equal arguments give equal patients.
    """
    identity = (seed, KINDS.index(kind), number)
    rng = np.random.default_rng(identity)
    borders = np.random.default_rng((*identity, 902))
    residual = np.random.default_rng((*identity, 903))
    population = POPULATIONS[realism]
    target_size = float(borders.lognormal(0.0, population.target_size))
    sigmoid_height = np.asarray([0.0, 0.0, borders.uniform(*population.sigmoid_height)])
    size = rng.normal(1.0, population.size)
    fatness = float(np.clip(rng.lognormal(0.0, population.fat), *population.fat_limits))
    retroverted = rng.random() < 0.25
    across, deep, along = population.target_radii
    shortest, longest_retroverted, longest_anteverted = population.uterus_length
    return Patient(
        identity=identity,
        realism=realism,
        skeleton=tuple(np.clip(size * rng.normal(1.0, population.proportion, 3), *population.skeleton)),
        fat=(24 * fatness, 26 * fatness, 22 * fatness * rng.uniform(0.8, 1.2)),
        muscle=float(np.clip(rng.normal(1.0, population.muscle), 0.8, 1.2)),
        bone=float(np.clip(rng.normal(1.0, 0.12), 0.7, 1.3)),
        cervix=tuple(rng.normal(0.0, population.cervix)),
        version=float(rng.uniform(*(population.retroversion if retroverted else population.version))),
        deviation=float(rng.normal(0, population.deviation)),
        uterus_length=float(rng.uniform(shortest, longest_retroverted if retroverted else longest_anteverted)),
        uterus_radius=float(rng.uniform(*population.uterus_radius)),
        target_radii=(
            target_size * float(rng.uniform(*across)),
            target_size * float(rng.uniform(*deep)),
            target_size * float(rng.uniform(*along)),
        ),
        parametrium=tuple(np.maximum(rng.uniform(*population.parametrium, 2), 0.0)),
        vaginal_extension=float(max(rng.uniform(*population.vaginal_extension), 0.0)),
        target_contrast=float(rng.uniform(*population.target_contrast)),
        rectum_radius=float(rng.uniform(*population.rectum_radius)),
        rectum_knots=rng.normal(0, population.rectum_course, (6, 3)),
        sigmoid_knots=_sigmoid_course(rng, population.sigmoid_course) + sigmoid_height,
        sigmoid_radius=float(rng.uniform(*population.sigmoid_radius)),
        rim=float(rng.uniform(*population.rim)),
        bladder_width=float(rng.uniform(*population.bladder_width)),
        metal=float(rng.choice([0.0, 0.45, 1.0], p=[0.35, 0.4, 0.25])),
        ovoid_radius=float(rng.choice([10.0, 11.5, 12.5])),
        tandem_bend=float(rng.uniform(0.35, 0.65)),
        balloon=float(rng.uniform(90, 320)),
        target_border=float(borders.uniform(*population.target_border)),
        strands=float(borders.uniform(*population.strands)),
        parametrial_hu=float(borders.uniform(*population.parametrial_hu)),
        pelvic_loops=int(borders.integers(*population.pelvic_loops, endpoint=True)),
        ring=bool(borders.random() < population.ring),
        residual_size=float(residual.uniform(0.45, 0.7)),
        residual_offset=tuple(residual.uniform([-0.35, -0.2, -0.3], [0.35, 0.2, 0.3])),
    )


def draw_fraction(patient: Patient, number: int) -> Fraction:
    """Draw fraction ``number`` of a patient; a patient without brachytherapy has only one scan."""
    kind = KINDS[patient.identity[1]]
    population = POPULATIONS[patient.realism]
    identity = (*patient.identity, 1 + number)
    rng = np.random.default_rng(identity)
    implanted = kind == "brachytherapy" or (kind == "unlabelled" and rng.random() < 0.5)
    full = population.bladder_volume[0 if implanted else 1]
    emptiest, fullest = population.bladder_limits
    sigmoid = len(patient.sigmoid_knots)
    return Fraction(
        identity=identity,
        setup=rng.normal(0, [3.0, 3.0, 4.0]),
        implant=bool(implanted),
        bladder_volume=float(np.clip(rng.lognormal(np.log(full), population.bladder_spread), emptiest, fullest * full)),
        rectum_filling=rng.uniform(*population.rectum_filling, 6),
        rectum_gas=np.clip(rng.normal(-0.1, 0.5, 6), 0, 0.9),
        rectum_stool=rng.uniform(15, 70, 6),
        sigmoid_shift=rng.normal(0, population.sigmoid_shift, (sigmoid, 3)),
        sigmoid_filling=rng.uniform(*population.sigmoid_filling, sigmoid),
        sigmoid_gas=np.clip(rng.normal(-0.1, 0.5, sigmoid), 0, 0.9),
        sigmoid_stool=rng.uniform(15, 70, sigmoid),
        applicator_rotation=rng.normal(0, [4.0, 3.0, 6.0]),
        applicator_depth=float(rng.normal(0, 2.0)),
        ovoid_gap=float(rng.uniform(1, 9)),
        target_scale=float((1 - 0.025 * number) * rng.normal(1, 0.015)),
        noise=float(rng.uniform(*population.noise)),
        noise_slice=population.noise_slice,
    )


def _sigmoid_course(rng: np.random.Generator, spread: tuple[float, float, float]) -> FloatArray:
    """Draw one to three loops between the rectosigmoid and the left iliac fossa."""
    side = rng.choice([-1.0, 1.0])
    loops = {
        1: [(18 * side, 34, 82), (-22 * side, 12, 92), (30, -8, 84), (64, 0, 90)],
        2: [(26 * side, 36, 78), (-24 * side, 16, 76), (-34 * side, -18, 88), (14, -28, 70), (56, -12, 82)],
        3: [(-24, 38, 80), (26, 24, 92), (38, -6, 72), (-6, -24, 62), (-28, -10, 88), (18, 0, 98), (60, -6, 94)],
    }[int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))]
    return np.asarray(loops, float) + rng.normal(0, spread, (len(loops), 3))
