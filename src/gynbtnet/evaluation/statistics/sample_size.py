"""Limits of a comparison that follow from the number of patients, as sentences for its reader."""

import math

from gynbtnet.evaluation.statistics.permutation import smallest_p
from gynbtnet.runtime.phrases import counted

FEW_PATIENTS = 20
"""With fewer patients, a rare failure may not have occurred in any."""


def sample_size_notes(n_cases: int, n_patients: int, n_comparisons: int) -> tuple[str, ...]:
    """Return one note for each limit of a comparison.

    Args:
        n_cases: number of cases.
        n_patients: number of patients.
        n_comparisons: number of comparisons in the family that Benjamini–Hochberg adjusts.

    Returns:
        The notes, one sentence or two each; empty if nothing limits the comparison.
    """
    patients = counted(n_patients, "patient")
    notes = []
    if n_cases > n_patients:
        notes.append(
            f"The {n_cases} cases are from {patients}, and the fractions of a patient are similar. Tests that treat "
            "cases as independent (all except those by patient) find differences that do not exist more "
            "often than their p-values indicate."
        )
    if n_patients < 2:
        return (*notes, f"With {patients} no test and no interval by patient is possible; give at least two patients.")
    smallest = smallest_p(n_patients)
    if smallest >= 0.01:
        notes.append(
            f"With {patients} the smallest possible p of the permutation by patient is 2/{2**n_patients} = "
            f"{smallest:.2g}, even for the clearest difference: "
            + ("it is never below 0.05" if smallest >= 0.05 else "it can be below 0.05, but never below 0.01")
            + ". The t test by patient has no such limit, but assumes roughly normal differences of patients."
        )
    if smallest < 0.05 < n_comparisons * smallest:
        notes.append(
            f"After Benjamini–Hochberg over {n_comparisons} comparisons the p of this permutation is below 0.05 only "
            "if at least "
            f"{math.floor(n_comparisons * smallest / 0.05) + 1} of them have this p."
        )
    if n_patients < FEW_PATIENTS:
        notes.append(
            f"Intervals are based on {patients}: with fewer than {FEW_PATIENTS}, rare failures may not have occurred, "
            "and then no interval includes them."
        )
    return tuple(notes)
