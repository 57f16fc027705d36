"""Colour and marker shape of each patient, the same in every plot and safe for colour-blind readers."""

from collections.abc import Iterable
from dataclasses import dataclass

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
"""Okabe and Ito's palette, without its yellow, which is faint on white."""
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<")
MOST_NAMED = 14
"""Number of patients up to which a legend lists each of them."""


@dataclass(frozen=True)
class PatientStyle:
    """A colour (#rrggbb) and one of matplotlib's marker shapes."""

    colour: str
    shape: str


def patient_styles(patients: Iterable[str]) -> dict[str, PatientStyle]:
    """Return the style of each patient, in alphabetical order.

    The first 56 styles are distinct; the first 7 differ in both colour and shape.
    """
    styles = {}
    for number, patient in enumerate(sorted(set(patients))):
        colour = number % len(COLOURS)
        shape = (number % len(COLOURS) + number // len(COLOURS)) % len(SHAPES)
        styles[patient] = PatientStyle(COLOURS[colour], SHAPES[shape])
    return styles
