"""What fills the pelvis above the organs, and what fills the bowel."""

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
    """Loops between the abdominal wall and the sacral promontory; the patient's own, moved a little by the fraction."""
    rng = np.random.default_rng((*patient.identity, 701))
    moved = np.random.default_rng((*fraction.identity, 701))
    low, high = np.asarray([-78.0, -62.0, 44.0]), np.asarray([76.0, 8.0, 175.0])
    tubes = []
    for _ in range(loops):
        start = rng.uniform(low, high)
        steps = rng.normal(0, [26, 18, 16], (6, 3)) + moved.normal(0, 4, (6, 3))
        folded = np.abs((start + np.cumsum(steps, axis=0) - low) % (2 * (high - low)) - (high - low))
        knots = (high - folded) * patient.skeleton
        tubes.append(Tube.through(knots, rng.uniform(8, 12.5), step=8))
    return tubes


def filling(
    course: Tube, organ: Shape, stool: FloatArray, gas: FloatArray, wall: float, texture: Texture
) -> Iterator[PaintedLayer]:
    """Stool and gas along a bowel's ``course``, within the lumen of ``organ`` as its neighbours left it.

    Args:
        course: the undented tube.
        organ: the dented one.
        stool: HU at n places along the course.
        gas: share of the lumen that holds gas at those places; gas lies in front, the patient on her back.
        wall: thickness in mm.
        texture: the bubbles in the stool.
    """
    places = len(stool)
    for place, (hu, share) in enumerate(zip(stool, gas, strict=True)):
        part = course.part(max(place - 0.1, 0) / places, min(place + 1.1, places) / places)
        lumen = replace(part, radii=np.maximum(part.radii - wall, 1.0))
        yield PaintedLayer(lumen, Speckled(float(hu), 14.0, 1.3, -350.0, texture), within=organ, depth=wall)
        if share > 0.08:
            up = lumen.radii * (1 - np.sqrt(share)) * 0.9
            bubble = Tube(part.path - up[:, None] * (0, 1, 0), lumen.radii * np.sqrt(share), part.flat)
            yield PaintedLayer(bubble, Uniform(GAS), within=organ, depth=wall)
