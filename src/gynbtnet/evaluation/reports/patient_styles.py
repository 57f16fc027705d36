"""How a patient looks in every picture: a colour that the colour-blind can tell, and a shape."""

from collections.abc import Iterable
from dataclasses import dataclass

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
"""Okabe and Ito's, but for the yellow, which is faint on white."""
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<")
MOST_NAMED = 14
"""With more patients than this a legend is no help."""


@dataclass(frozen=True)
class PatientStyle:
    """A colour (#rrggbb) and one of matplotlib's marker shapes."""

    colour: str
    shape: str


def patient_styles(patients: Iterable[str]) -> dict[str, PatientStyle]:
    """Of each patient, sorted; no two of the first 56 look alike, and the first 7 differ in colour and in shape."""
    names = sorted(set(patients))
    marks = {}
    for place, name in enumerate(names):
        colour = place % len(COLOURS)
        shape = (place % len(COLOURS) + place // len(COLOURS)) % len(SHAPES)
        marks[name] = PatientStyle(COLOURS[colour], SHAPES[shape])
    return marks
