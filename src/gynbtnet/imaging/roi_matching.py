"""Which of the ROIs in a file are the structures wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import quoted


@dataclass(frozen=True)
class RoiMatch:
    """Which ROI stands for which structure.

    Attributes:
        rois: number of the ROI by structure, in the order of the structures wanted.
        missing: wanted structures that no ROI stands for.
        unmapped: names of ROIs that stand for none of them.
        unusable: of each ROI that means a missing structure why it doesn't stand for it, a sentence.
    """

    rois: dict[str, int]
    missing: tuple[str, ...]
    unmapped: tuple[str, ...]
    unusable: tuple[str, ...] = ()


def match_rois(
    found: Sequence[str],
    filled: Sequence[bool],
    structures: Sequence[str],
    names: StructureNames,
    path: Path,
    reasons: Sequence[str] | None = None,
) -> RoiMatch:
    """Find ``structures`` among the ROIs of a file by their names; nothing is guessed.

    Args:
        found: names of the ROIs.
        filled: which of them hold anything; the others stand for nothing.
        structures: that are wanted.
        names: what a name means.
        path: of the file, for messages.
        reasons: of each ROI why it holds nothing that can be used; left out, it has no contours.

    Raises:
        BadInput: where several filled ROIs mean one structure, or none means any of them.
    """
    meanings = [names.resolve(name, structures) for name in found]
    rois: dict[str, int] = {}
    for structure in structures:
        numbers = [i for i, meaning in enumerate(meanings) if meaning == structure and filled[i]]
        if len(numbers) > 1:
            raise BadInput(
                f"{path} has {len(numbers)} ROIs for {structure}: {quoted([found[i] for i in numbers])}; expected "
                "one: rename the others, or give the right one alone in an alias file."
            )
        if numbers:
            rois[structure] = numbers[0]
    unusable = tuple(
        f"“{name}” {reasons[i] if reasons else 'has no contours'}."
        for i, (name, meaning) in enumerate(zip(found, meanings, strict=True))
        if meaning in structures and meaning not in rois and not filled[i]
    )
    if not rois and unusable:
        raise BadInput(
            f"{path} has contours of none of the wanted structures ({', '.join(structures)}): "
            f"{' '.join(unusable)} Draw them on this CT, or give the CT that they were drawn on."
        )
    if not rois:
        raise BadInput(
            f"{path} has contours of none of the wanted structures ({', '.join(structures)}); its ROIs are: "
            f"{quoted(found) or 'none'}; map their names with an alias file."
        )
    return RoiMatch(
        rois=rois,
        missing=tuple(structure for structure in structures if structure not in rois),
        unmapped=tuple(name for name, meaning in zip(found, meanings, strict=True) if meaning not in structures),
        unusable=unusable,
    )


def says_unusable(note: str) -> bool:
    """Whether a note is a sentence of ``Choice.unusable``."""
    return note.startswith("“") and (note.endswith("” has no contours.") or "” is drawn in the frame of " in note)
