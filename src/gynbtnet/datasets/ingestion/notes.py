"""What readers of results have to know of how a cohort was read: counts, and nobody's name."""

from collections import Counter
from collections.abc import Sequence

from gynbtnet.datasets.case import Case

_MOST = 20
"""Cases whose own notes are repeated; all of them are in the manifest."""


def notes_on_cases(cases: Sequence[Case], structures: Sequence[str]) -> tuple[str, ...]:
    """A sentence each on structures that are missing, on those that overlap, and on ROI names that mean none.

    Then what was chosen, dropped or mended case by case.

    Only the names of an RTSTRUCT count as unmapped: other sources hold classes that nobody asked for by design.
    """
    missing = Counter(structure for case in cases for structure in case.missing)
    unmapped = Counter(name for case in cases if case.source.rtstruct for name in case.unmapped)
    shared: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        for overlap in case.overlaps:
            shared.setdefault((overlap.earlier, overlap.later), []).append(overlap.volume_cm3)
    of_cases = f"Of {len(cases)} cases"
    notes = []
    if missing:
        listed = ", ".join(f"{name} in {missing[name]}" for name in structures if name in missing)
        notes.append(f"{of_cases}, some lack structures, whose voxels are background there: {listed}.")
    if shared:
        listed = ", ".join(f"{a} and {b} by {sum(cm3):.2f} cm³ in {len(cm3)}" for (a, b), cm3 in sorted(shared.items()))
        notes.append(
            f"{of_cases}, some have structures that overlap, and the second has the voxels in the label map: {listed}."
        )
    if unmapped:
        listed = ", ".join(f"“{name}” in {count}" for name, count in unmapped.most_common(20))
        notes.append(f"{of_cases}, some have ROIs whose names mean none of the structures: {listed}.")
    own = [f"{case.id}: {note}" for case in cases for note in case.notes]
    more = (f"Of {len(own)} notes on single cases, the first {_MOST} are shown.",) if len(own) > _MOST else ()
    return (*notes, *own[:_MOST], *more)
