"""Matching of the ROIs in a file to structures, by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import quoted


@dataclass(frozen=True)
class RoiMatch:
    """ROIs of the requested structures.

    Attributes:
        rois: index of the ROI by structure, in the order of the requested structures.
        missing: requested structures without a ROI.
        unmapped: names of the ROIs that belong to no requested structure.
        unusable: one sentence per ROI of a missing structure: why it can't be used.
        passed_over: one sentence per ROI that may belong to a structure, of which another ROI has the plain name.
    """

    rois: dict[str, int]
    missing: tuple[str, ...]
    unmapped: tuple[str, ...]
    unusable: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()


def match_rois(
    roi_names: Sequence[str],
    filled: Sequence[bool],
    structures: Sequence[str],
    names: StructureNames,
    path: Path,
    reasons: Sequence[str] | None = None,
) -> RoiMatch:
    """Find the ROIs of structures by their names; nothing is guessed.

    If several filled ROIs may belong to a structure, the one with the most certain name is meant. A name in the
    clinic's alias file is the most certain; a plain name follows (“Bladder”), then one with other words (“zBladder_1”).

    Args:
        roi_names: names of the ROIs in the file.
        filled: for each ROI, True if it has contours or voxels; the others are not used.
        structures: requested structures.
        names: meaning of the names.
        path: the file, for messages.
        reasons: for each ROI, why it has nothing that can be used; by default: it has no contours.

    Raises:
        BadInput: If several filled ROIs with equally certain names belong to one structure, or no ROI belongs to any.
    """
    matches = [names.match(name, structures) for name in roi_names]
    meanings = [match.structure if match else None for match in matches]
    rois: dict[str, int] = {}
    passed_over: list[str] = []
    for structure in structures:
        candidates = [(i, match) for i, match in enumerate(matches) if match and match.structure == structure]
        ranks = {i: match.rank for i, match in candidates if filled[i]}
        indices = [i for i, rank in ranks.items() if rank == min(ranks.values())]
        if len(indices) > 1:
            raise BadInput(
                f"{path} has {len(indices)} ROIs for {structure}: {quoted(roi_names[i] for i in indices)}; expected "
                "one: rename the others, or give the right one alone in an alias file."
            )
        if indices:
            rois[structure] = indices[0]
            others = quoted(roi_names[i] for i in ranks if i != indices[0])
            if others:
                passed_over.append(f"Took “{roi_names[indices[0]]}” for {structure}, not {others}.")
    unusable = tuple(
        f"“{name}” {reasons[i] if reasons else 'has no contours'}."
        for i, (name, meaning) in enumerate(zip(roi_names, meanings, strict=True))
        if meaning in structures and meaning not in rois and not filled[i]
    )
    if not rois and unusable:
        raise BadInput(
            f"{path} has contours of none of the requested structures ({', '.join(structures)}): "
            f"{' '.join(unusable)} Draw them on this CT, or give the CT on which they were drawn."
        )
    if not rois:
        raise BadInput(
            f"{path} has contours of none of the requested structures ({', '.join(structures)}); its ROIs are: "
            f"{quoted(roi_names) or 'none'}. {names.did_you_mean(structures)}Map their names with an alias file."
        )
    return RoiMatch(
        rois=rois,
        missing=tuple(structure for structure in structures if structure not in rois),
        unmapped=tuple(name for name, meaning in zip(roi_names, meanings, strict=True) if meaning not in structures),
        unusable=unusable,
        passed_over=tuple(passed_over),
    )


def is_unusable_note(note: str) -> bool:
    """Return True if a note is one of the sentences in ``RoiMatch.unusable``."""
    return note.startswith("“") and (note.endswith("” has no contours.") or "” is drawn in the frame of " in note)
