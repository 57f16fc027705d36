"""Small bowel above the organs, and the contents of the bowel."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gynbtnet.phantom.anatomy.patient import Fraction, Patient
from gynbtnet.phantom.shapes.painted_layer import PaintedLayer
from gynbtnet.phantom.shapes.shapes import Shape, Tube
from gynbtnet.phantom.shapes.texture import Texture
from gynbtnet.phantom.shapes.tissues import GAS, Speckled, Uniform
from gynbtnet.runtime.array_types import FloatArray


def small_bowel(patient: Patient, fraction: Fraction, loops: int = 13) -> list[Tube]:
    """Return loops between abdominal wall and sacral promontory; they move a little from fraction to fraction."""
    rng = np.random.default_rng((*patient.identity, 701))
    motion = np.random.default_rng((*fraction.identity, 701))
    low, high = np.asarray([-78.0, -62.0, 44.0]), np.asarray([76.0, 8.0, 175.0])
    tubes = []
    for _ in range(loops):
        start = rng.uniform(low, high)
        steps = rng.normal(0, [26, 18, 16], (6, 3)) + motion.normal(0, 4, (6, 3))
        folded = np.abs((start + np.cumsum(steps, axis=0) - low) % (2 * (high - low)) - (high - low))
        knots = (high - folded) * patient.skeleton
        tubes.append(Tube.through(knots, rng.uniform(8, 12.5), step=8))
    return tubes


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
