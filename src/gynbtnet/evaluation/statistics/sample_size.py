"""What a number of patients can show at most, in sentences for the reader of a comparison."""

import math

from gynbtnet.evaluation.statistics.permutation import least_p

FEW_PATIENTS = 20
"""Below this, intervals from resampled patients are rough."""


def sample_size_notes(cases: int, patients: int, comparisons: int) -> tuple[str, ...]:
    """A sentence for each limit that ``cases`` of ``patients`` in a family of ``comparisons`` have."""
    notes = []
    if cases > patients:
        notes.append(
            f"The {cases} cases are of {patients} {'patient' if patients == 1 else 'patients'}, and a patient's "
            "fractions resemble one another: tests that take cases as independent (all but the permutation by patient) "
            "find differences that are not there more often than they say."
        )
    least = least_p(patients)
    if least >= 0.01:
        notes.append(
            f"With {patients} {'patient' if patients == 1 else 'patients'} the permutation by patient can't give less "
            f"than p = 2/{2**patients} = {least:.2g}, however clear the difference: "
            + ("never below 0.05." if least >= 0.05 else "below 0.05, and never below 0.01.")
        )
    if least < 0.05 < comparisons * least:
        notes.append(
            f"After Benjamini–Hochberg over {comparisons} comparisons it falls below 0.05 only where at least "
            f"{math.floor(comparisons * least / 0.05) + 1} of them are as clear as that."
        )
    if patients < FEW_PATIENTS:
        notes.append(
            f"Intervals rest on {patients} {'patient' if patients == 1 else 'patients'}: fewer than {FEW_PATIENTS} "
            "make them rough."
        )
    return tuple(notes)
