"""Distributions of the properties of synthetic patients: a simple population and one as varied as in a clinic."""

from dataclasses import dataclass
from typing import Literal

Realism = Literal["simple", "clinical"]

Range = tuple[float, float]
"""Lowest and highest value of a uniform distribution."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Population:
    """Distributions from which patients and fractions are drawn. Lengths are in mm, angles in degrees.

    Attributes:
        size: Standard deviation of the body's scale.
        proportion: Standard deviation of the scale per axis.
        skeleton: Limits of the scale.
        fat: Standard deviation of the logarithm of the fat's thickness.
        fat_limits: Limits of the fat's thickness, relative to the average woman.
        muscle: Standard deviation of the muscles' scale.
        cervix: Standard deviation of the cervix' position (x, y, z).
        version: Angle of an anteverted uterus.
        retroversion: Angle of a retroverted uterus.
        deviation: Standard deviation of the uterus' angle to the left.
        uterus_length: Shortest body, longest retroverted one, longest anteverted one.
        uterus_radius: Largest radius of the uterus' body.
        target_radii: Half axes of the HR-CTV: across, front to back, along the uterus.
        target_size: Standard deviation of the logarithm of a common factor of these axes.
        parametrium: Extension of the HR-CTV into a parametrium; 0 if it is negative.
        vaginal_extension: Extension of the HR-CTV down the vagina; 0 if it is negative.
        target_contrast: HU of the HR-CTV above the uterus.
        target_border: Standard deviation of the HR-CTV's surface around its smooth form.
        strands: Share of soft tissue in the strands around the HR-CTV.
        parametrial_hu: Mean HU of the parametrial tissue.
        rectum_radius: Radius of the empty rectum.
        rectum_course: Standard deviation of the rectum's course (x, y, z).
        rectum_filling: Scale of the rectum's radius per position.
        sigmoid_course: Standard deviation of the sigmoid's course (x, y, z).
        sigmoid_height: Displacement of the sigmoid's course up.
        sigmoid_radius: Radius of the empty sigmoid.
        sigmoid_shift: Standard deviation of the sigmoid's course between fractions.
        sigmoid_filling: Scale of the sigmoid's radius per position.
        rim: Thickness of the fat around uterus and bowel.
        bladder_width: Width of the bladder divided by its height.
        bladder_volume: Median volume in cm³ with and without an implant.
        bladder_spread: Standard deviation of the logarithm of the volume.
        bladder_limits: Smallest volume in cm³, and largest volume relative to the median.
        pelvic_loops: Lowest and highest number of small-bowel loops next to sigmoid and uterus.
        ring: Share of patients with a tandem and ring instead of a tandem and ovoids.
        noise: Standard deviation of the noise in HU behind an average patient, at ``noise_slice``.
        noise_slice: Thickness of the slices for which ``noise`` is given, or None if it is that of any voxel size.
    """

    size: float
    proportion: float
    skeleton: Range
    fat: float
    fat_limits: Range
    muscle: float
    cervix: Triple
    version: Range
    retroversion: Range
    deviation: float
    uterus_length: Triple
    uterus_radius: Range
    target_radii: tuple[Range, Range, Range]
    target_size: float
    parametrium: Range
    vaginal_extension: Range
    target_contrast: Range
    target_border: Range
    strands: Range
    parametrial_hu: Range
    rectum_radius: Range
    rectum_course: Triple
    rectum_filling: Range
    sigmoid_course: Triple
    sigmoid_height: Range
    sigmoid_radius: Range
    sigmoid_shift: float
    sigmoid_filling: Range
    rim: Range
    bladder_width: Range
    bladder_volume: Range
    bladder_spread: float
    bladder_limits: Range
    pelvic_loops: tuple[int, int]
    ring: float
    noise: Range
    noise_slice: float | None


SIMPLE = Population(
    size=0.035,
    proportion=0.025,
    skeleton=(0.9, 1.1),
    fat=0.4,
    fat_limits=(0.5, 2.1),
    muscle=0.1,
    cervix=(3.5, 3.0, 4.0),
    version=(25, 85),
    retroversion=(-32, -12),
    deviation=9,
    uterus_length=(34, 46, 62),
    uterus_radius=(15, 24),
    target_radii=((18, 26), (14, 19), (18, 27)),
    target_size=0.0,
    parametrium=(-8, 16),
    vaginal_extension=(-8, 14),
    target_contrast=(3, 13),
    target_border=(1.3, 1.3),
    strands=(0, 0),
    parametrial_hu=(-10, -10),
    rectum_radius=(11.5, 15),
    rectum_course=(4.0, 2.0, 0.0),
    rectum_filling=(0.85, 1.35),
    sigmoid_course=(6.0, 5.0, 6.0),
    sigmoid_height=(0, 0),
    sigmoid_radius=(9, 12.5),
    sigmoid_shift=5.0,
    sigmoid_filling=(0.8, 1.3),
    rim=(0.5, 3.0),
    bladder_width=(1.1, 1.45),
    bladder_volume=(95, 190),
    bladder_spread=0.45,
    bladder_limits=(40, 2.6),
    pelvic_loops=(0, 0),
    ring=0.0,
    noise=(12, 19),
    noise_slice=None,
)
"""Clear contrasts and moderate variety, for demonstrations in minutes."""

CLINICAL = Population(
    size=0.045,
    proportion=0.03,
    skeleton=(0.87, 1.13),
    fat=0.5,
    fat_limits=(0.35, 2.4),
    muscle=0.13,
    cervix=(6.0, 5.0, 7.0),
    version=(15, 90),
    retroversion=(-40, -10),
    deviation=13,
    uterus_length=(26, 50, 68),
    uterus_radius=(12, 26),
    target_radii=((13, 24), (10, 17), (12, 25)),
    target_size=0.17,
    parametrium=(-12, 24),
    vaginal_extension=(-12, 18),
    target_contrast=(-3, 6),
    target_border=(1.8, 2.8),
    strands=(0.3, 0.9),
    parametrial_hu=(0, 35),
    rectum_radius=(8.0, 12.5),
    rectum_course=(6.0, 3.0, 0.0),
    rectum_filling=(0.7, 1.5),
    sigmoid_course=(9.0, 8.0, 9.0),
    sigmoid_height=(-28, 8),
    sigmoid_radius=(7.0, 12.0),
    sigmoid_shift=8.0,
    sigmoid_filling=(0.65, 1.45),
    rim=(0.0, 2.0),
    bladder_width=(1.0, 1.55),
    bladder_volume=(130, 210),
    bladder_spread=0.42,
    bladder_limits=(35, 3.2),
    pelvic_loops=(4, 9),
    ring=0.4,
    noise=(10, 15),
    noise_slice=3.0,
)
"""As varied and of as little contrast as in a clinic; sources of the values are in docs/explanation/phantom.md.

The noise is the standard deviation that automatic exposure control aims for in pelvic CT of women, 11 to 15 HU
(https://doi.org/10.3348/kjr.2015.16.5.1047).
"""

POPULATIONS: dict[Realism, Population] = {"simple": SIMPLE, "clinical": CLINICAL}
