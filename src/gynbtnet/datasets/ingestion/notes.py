"""Notes on the cases of a cohort for readers of results: counts, without names of patients."""

from collections import Counter
from collections.abc import Sequence

from gynbtnet.datasets.case import Case
from gynbtnet.runtime.phrases import counted

_MAX_CASES = 20
"""Number of notes on single cases that are repeated; the manifest contains all of them."""
_MAX_NAMES = 20


def notes_on_cases(cases: Sequence[Case], structures: Sequence[str]) -> tuple[str, ...]:
    """Return one sentence each on missing structures, overlaps and unmapped ROI names, then the notes on single cases.

    Only the names of an RTSTRUCT count as unmapped: other sources contain classes that are not requested, by design.
    """
    missing = Counter(structure for case in cases for structure in case.missing)
    unmapped = Counter(name for case in cases if case.source.rtstruct for name in case.unmapped)
    overlaps: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        for overlap in case.overlaps:
            overlaps.setdefault((overlap.earlier, overlap.later), []).append(overlap.volume_cm3)
    among = f"among {counted(len(cases), 'case')}"
    notes = []
    if missing:
        listed = ", ".join(f"{name} in {missing[name]}" for name in structures if name in missing)
        notes.append(f"Structures absent {among}, whose voxels are background there: {listed}.")
    if overlaps:
        listed = ", ".join(
            f"{a} and {b} by {sum(cm3):.2f} cm³ in {len(cm3)}" for (a, b), cm3 in sorted(overlaps.items())
        )
        notes.append(f"Structures that overlap {among}, the second of which has the voxels in the label map: {listed}.")
    if unmapped:
        listed = ", ".join(f"“{name}” in {count}" for name, count in unmapped.most_common(_MAX_NAMES))
        notes.append(f"ROIs {among} whose names don't map to any of the structures: {listed}.")
    case_notes = [f"{case.id}: {note}" for case in cases for note in case.notes]
    omitted = (
        (f"Only the first {_MAX_CASES} of {len(case_notes)} notes on single cases are shown.",)
        if len(case_notes) > _MAX_CASES
        else ()
    )
    return (*notes, *case_notes[:_MAX_CASES], *omitted)
