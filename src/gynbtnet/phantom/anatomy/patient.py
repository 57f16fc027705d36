"""Random properties of a synthetic patient and of each fraction."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gynbtnet.runtime.array_types import FloatArray

Kind = Literal["unlabelled", "organs", "brachytherapy"]
KINDS: tuple[Kind, ...] = ("unlabelled", "organs", "brachytherapy")


@dataclass(frozen=True)
class Patient:
    """Properties of a patient that are the same in all fractions. Lengths are in mm, angles in degrees.

    Attributes:
        identity: Seed, kind and number, the seed of every random field of this patient.
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
        rectum_radius: Radius of the empty rectum.
        rectum_knots: Displacement (n, 3) of the rectum's course.
        sigmoid_knots: Course (n, 3) of the sigmoid between rectum and descending colon.
        sigmoid_radius: Radius of the empty sigmoid.
        rim: Thickness of the fat around uterus and bowel.
        bladder_width: Width of the bladder divided by its height.
        metal: 1 for a steel applicator, 0 for carbon fibre, between them for titanium.
        ovoid_radius: Radius of the colpostat caps.
        tandem_bend: Share of the uterus' angle that remains with a tandem.
        balloon: HU of the dilute contrast in the Foley balloon.
    """

    identity: tuple[int, ...]
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
    rectum_radius: float
    rectum_knots: FloatArray
    sigmoid_knots: FloatArray
    sigmoid_radius: float
    rim: float
    bladder_width: float
    metal: float
    ovoid_radius: float
    tandem_bend: float
    balloon: float


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
        noise: Standard deviation of the noise in HU behind an average patient.
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


def draw_patient(seed: int, number: int, kind: Kind) -> Patient:
    """Draw the patient ``number`` of a cohort; cohorts of different kinds share no patient.

    Args:
        seed: seed of the cohort.
        number: number of the patient, from 0.
        kind: kind of the cohort.

    Returns:
        The anatomy; equal arguments give equal patients.
    """
    identity = (seed, KINDS.index(kind), number)
    rng = np.random.default_rng(identity)
    size = rng.normal(1.0, 0.035)
    fatness = float(np.clip(rng.lognormal(0.0, 0.4), 0.5, 2.1))
    retroverted = rng.random() < 0.25
    return Patient(
        identity=identity,
        skeleton=tuple(np.clip(size * rng.normal(1.0, 0.025, 3), 0.9, 1.1)),
        fat=(24 * fatness, 26 * fatness, 22 * fatness * rng.uniform(0.8, 1.2)),
        muscle=float(np.clip(rng.normal(1.0, 0.1), 0.8, 1.2)),
        bone=float(np.clip(rng.normal(1.0, 0.12), 0.7, 1.3)),
        cervix=tuple(rng.normal(0.0, [3.5, 3.0, 4.0])),
        version=float(rng.uniform(-32, -12) if retroverted else rng.uniform(25, 85)),
        deviation=float(rng.normal(0, 9)),
        uterus_length=float(rng.uniform(34, 46 if retroverted else 62)),
        uterus_radius=float(rng.uniform(15, 24)),
        target_radii=(float(rng.uniform(18, 26)), float(rng.uniform(14, 19)), float(rng.uniform(18, 27))),
        parametrium=tuple(np.maximum(rng.uniform(-8, 16, 2), 0.0)),
        vaginal_extension=float(max(rng.uniform(-8, 14), 0.0)),
        target_contrast=float(rng.uniform(3, 13)),
        rectum_radius=float(rng.uniform(11.5, 15)),
        rectum_knots=rng.normal(0, [4.0, 2.0, 0.0], (6, 3)),
        sigmoid_knots=_sigmoid_course(rng),
        sigmoid_radius=float(rng.uniform(9, 12.5)),
        rim=float(rng.uniform(0.5, 3.0)),
        bladder_width=float(rng.uniform(1.1, 1.45)),
        metal=float(rng.choice([0.0, 0.45, 1.0], p=[0.35, 0.4, 0.25])),
        ovoid_radius=float(rng.choice([10.0, 11.5, 12.5])),
        tandem_bend=float(rng.uniform(0.35, 0.65)),
        balloon=float(rng.uniform(90, 320)),
    )


def draw_fraction(patient: Patient, number: int) -> Fraction:
    """Draw fraction ``number`` of a patient; a patient without brachytherapy has only one scan."""
    kind = KINDS[patient.identity[1]]
    identity = (*patient.identity, 1 + number)
    rng = np.random.default_rng(identity)
    implanted = kind == "brachytherapy" or (kind == "unlabelled" and rng.random() < 0.5)
    full = 95 if implanted else 190
    sigmoid = len(patient.sigmoid_knots)
    return Fraction(
        identity=identity,
        setup=rng.normal(0, [3.0, 3.0, 4.0]),
        implant=bool(implanted),
        bladder_volume=float(np.clip(rng.lognormal(np.log(full), 0.45), 40, 2.6 * full)),
        rectum_filling=rng.uniform(0.85, 1.35, 6),
        rectum_gas=np.clip(rng.normal(-0.1, 0.5, 6), 0, 0.9),
        rectum_stool=rng.uniform(15, 70, 6),
        sigmoid_shift=rng.normal(0, 5.0, (sigmoid, 3)),
        sigmoid_filling=rng.uniform(0.8, 1.3, sigmoid),
        sigmoid_gas=np.clip(rng.normal(-0.1, 0.5, sigmoid), 0, 0.9),
        sigmoid_stool=rng.uniform(15, 70, sigmoid),
        applicator_rotation=rng.normal(0, [4.0, 3.0, 6.0]),
        applicator_depth=float(rng.normal(0, 2.0)),
        ovoid_gap=float(rng.uniform(1, 9)),
        target_scale=float((1 - 0.025 * number) * rng.normal(1, 0.015)),
        noise=float(rng.uniform(12, 19)),
    )


def _sigmoid_course(rng: np.random.Generator) -> FloatArray:
    """Draw one to three loops between the rectosigmoid and the left iliac fossa."""
    side = rng.choice([-1.0, 1.0])
    loops = {
        1: [(18 * side, 34, 82), (-22 * side, 12, 92), (30, -8, 84), (64, 0, 90)],
        2: [(26 * side, 36, 78), (-24 * side, 16, 76), (-34 * side, -18, 88), (14, -28, 70), (56, -12, 82)],
        3: [(-24, 38, 80), (26, 24, 92), (38, -6, 72), (-6, -24, 62), (-28, -10, 88), (18, 0, 98), (60, -6, 94)],
    }[int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))]
    return np.asarray(loops, float) + rng.normal(0, [6.0, 5.0, 6.0], (len(loops), 3))
