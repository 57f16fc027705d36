"""Small bowel above the organs, and the contents of the bowel."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gynbtnet.phantom.anatomy.patient import Fraction, Patient
from gynbtnet.phantom.shapes.painted_layer import PaintedLayer
from gynbtnet.phantom.shapes.shape_operations import Dilated
from gynbtnet.phantom.shapes.shapes import Shape, Tube
from gynbtnet.phantom.shapes.texture import Texture
from gynbtnet.phantom.shapes.tissues import GAS, VISCERAL_WALL, Hollow, Mottled, Speckled, Uniform
from gynbtnet.runtime.array_types import FloatArray

COLON_WALL = 2.6
"""Thickness of the sigmoid's wall in mm; in the clinical population small bowel has the same wall."""

UPPER_LOOPS = 13
UPPER = ((-78.0, -62.0, 44.0), (76.0, 8.0, 175.0))
"""Lowest and highest corner (x, y, z) in mm of the loops above the organs."""
PELVIC = ((-56.0, -44.0, 30.0), (56.0, 36.0, 96.0))
"""Corners of the loops next to sigmoid and uterus."""


def small_bowel(patient: Patient, fraction: Fraction) -> list[Tube]:
    """Return loops between abdominal wall and sacrum, the pelvic ones last; they move a little between fractions."""
    rng = np.random.default_rng((*patient.identity, 701))
    motion = np.random.default_rng((*fraction.identity, 701))
    tubes = []
    for corners in [UPPER] * UPPER_LOOPS + [PELVIC] * patient.pelvic_loops:
        low, high = np.asarray(corners)
        start = rng.uniform(low, high)
        steps = rng.normal(0, [26, 18, 16], (6, 3)) + motion.normal(0, 4, (6, 3))
        folded = np.abs((start + np.cumsum(steps, axis=0) - low) % (2 * (high - low)) - (high - low))
        knots = (high - folded) * patient.skeleton
        tubes.append(Tube.through(knots, rng.uniform(8, 12.5), step=8))
    return tubes


def small_bowel_layers(patient: Patient, fraction: Fraction, outside: Shape, rim: Mottled) -> Iterator[PaintedLayer]:
    """Yield small bowel: fluid-filled in the simple population, in the clinical one as the sigmoid looks.

    Args:
        patient: The patient.
        fraction: The fraction.
        outside: Bones, which bowel doesn't cover.
        rim: Fat around a loop.
    """
    rng = np.random.default_rng((*fraction.identity, 702))
    bubbles = Texture((*fraction.identity, 611), 4.0)
    for tube in small_bowel(patient, fraction):
        if patient.realism == "simple":
            yield PaintedLayer(tube, Hollow(2.4, VISCERAL_WALL, Uniform(18.0)), organ="small_bowel", outside=outside)
            continue
        content = Speckled(float(rng.uniform(15, 70)), 14.0, 1.3, -350.0, bubbles)
        yield PaintedLayer(Dilated(tube, patient.rim), rim, outside=outside, opacity=0.8, clears=True)
        yield PaintedLayer(tube, Hollow(COLON_WALL, VISCERAL_WALL + 4, content), organ="small_bowel", outside=outside)
        share = float(np.clip(rng.normal(-0.1, 0.5), 0, 0.9))
        if share > 0.08:
            gas = tube.part(*sorted(rng.uniform(0, 1, 2)))
            lumen = gas.radii - COLON_WALL
            up = lumen * (1 - np.sqrt(share)) * 0.9
            yield PaintedLayer(
                Tube(gas.path - up[:, None] * (0, 1, 0), lumen * np.sqrt(share)), Uniform(GAS), outside=outside
            )


def filling(
    course: Tube, organ: Shape, stool: FloatArray, gas: FloatArray, wall: float, texture: Texture
) -> Iterator[PaintedLayer]:
    """Yield stool and gas along a bowel's ``course``, in the lumen of ``organ`` after its contact with neighbours.

    Args:
        course: Tube before the contact.
        organ: Shape after the contact.
        stool: HU at n positions along the course.
        gas: Share of the lumen with gas at those positions; gas is in front, because the patient is supine.
        wall: Thickness of the wall in mm.
        texture: Bubbles in the stool.
    """
    count = len(stool)
    for index, (hu, share) in enumerate(zip(stool, gas, strict=True)):
        part = course.part(max(index - 0.1, 0) / count, min(index + 1.1, count) / count)
        lumen = replace(part, radii=np.maximum(part.radii - wall, 1.0))
        yield PaintedLayer(lumen, Speckled(float(hu), 14.0, 1.3, -350.0, texture), within=organ, depth=wall)
        if share > 0.08:
            up = lumen.radii * (1 - np.sqrt(share)) * 0.9
            bubble = Tube(part.path - up[:, None] * (0, 1, 0), lumen.radii * np.sqrt(share), part.flat)
            yield PaintedLayer(bubble, Uniform(GAS), within=organ, depth=wall)
