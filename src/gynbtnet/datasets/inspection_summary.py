"""Summary of an inspection in five lines, and the names of its ROIs with the structures that they belong to."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

from gynbtnet.datasets.inspection import Inspection
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted, quoted

_MOST_NAMES = 6


@dataclass(frozen=True)
class RoiName:
    """A name of ROIs in a folder.

    Attributes:
        name: the name.
        count: number of structure sets that have it.
        structure: structure that it belongs to; None if it is not understood.
        proposals: structures with similar names, if it is not understood. With several, the name is ambiguous.
    """

    name: str
    count: int
    structure: str | None
    proposals: tuple[str, ...] = ()


def list_roi_names(inspection: Inspection, names: StructureNames) -> tuple[RoiName, ...]:
    """Return every name of a ROI or segment in a folder, the most frequent first.

    Args:
        inspection: inspected folder.
        names: table of ROI names.
    """
    counts = Counter(name for item in inspection.items for name in dict.fromkeys(item.rois))
    listed = []
    for name, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])):
        listed.append(RoiName(name, count, names.resolve(name), names.propose(name)))
    return tuple(listed)


def summarise_inspection(inspection: Inspection, names: StructureNames) -> tuple[str, ...]:
    """Return five lines: a verdict, then scans, structure sets and doses, names, and problems.

    Args:
        inspection: inspected folder.
        names: table of ROI names.
    """
    items = inspection.items
    kinds = Counter(item.kind for item in items)
    scans = [item for item in items if item.kind == "CT" or (item.kind == "image" and item.contents[:6] != "labels")]
    patients = {item.patient for item in items if item.patient}
    sets = [item for item in items if item.kind in ("RTSTRUCT", "SEG")]
    problems = [item for item in items if item.problem]
    listed = list_roi_names(inspection, names)
    readable = [item for item in scans if not item.problem]
    of = f" of {counted(len(patients), 'patient')}" if patients else ""
    unusable = len(scans) - len(readable)
    contours = ", ".join(counted(kinds[kind], kind) for kind in ("RTSTRUCT", "SEG", "RTDOSE") if kinds[kind])
    without = sum(1 for item in sets if not any(names.resolve(name) for name in item.rois))
    return (
        f"Verdict: {_verdict(bool(readable), bool(sets), bool(problems), any(one.structure for one in listed))}",
        f"Scans: {counted(len(readable), 'scan')}{of} can be read"
        + (f", {counted(unusable, 'scan')} can't." if unusable else "."),
        f"Contours and doses: {contours or 'none'}"
        + (f"; {counted(without, 'structure set')} without a known structure." if without else "."),
        _names_line(listed),
        "Problems: none."
        if not problems
        else f"Problems: {len(problems)} of {counted(len(items), 'item')} can't be used as they are, see the table.",
    )


def check_draft_is_new(path: Path) -> None:
    """Check that a draft of an alias file would replace nothing.

    Raises:
        BadInput: If the file exists.
    """
    if path.exists():
        raise BadInput(f"{path} exists, and may contain confirmed names; give another file name.")


def write_aliases_draft(listed: tuple[RoiName, ...], path: Path, folder: Path) -> None:
    """Write a draft of an alias file: all names with their counts, and proposals as comments, to be confirmed.

    A name counts only after a user has removed the comment sign from its line and from the structure above it.

    Args:
        listed: names of the folder.
        path: YAML file to write.
        folder: inspected folder, for the first line.

    Raises:
        BadInput: If the file exists.
    """
    check_draft_is_new(path)
    lines = [
        f"# Names of ROIs in {folder.name}, with the number of structure sets that have each.",
        "# To confirm a proposal, remove the # before its line and before the structure above it.",
    ]
    by_structure: dict[str, list[RoiName]] = {}
    for one in listed:
        if len(one.proposals) == 1:
            by_structure.setdefault(one.proposals[0], []).append(one)
    if by_structure:
        lines += ["", "# Proposed, because a known name is similar:"]
    for structure, proposed in by_structure.items():
        lines.append(f"# {structure}:")
        lines += [f"#   - {_scalar(one.name)}  # {one.count}" for one in proposed]
    groups = (
        ("Ambiguous; write the name under the right structure:", [one for one in listed if len(one.proposals) > 1]),
        ("Not understood, and left alone:", [one for one in listed if not one.structure and not one.proposals]),
        ("Understood already:", [one for one in listed if one.structure]),
    )
    for heading, group in groups:
        if group:
            lines += ["", f"# {heading}"]
            lines += [f"#   {_scalar(one.name)}  # {one.count}{_meaning(one)}" for one in group]
    with atomic_write(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _verdict(scans: bool, sets: bool, problems: bool, structures: bool) -> str:
    if not scans:
        return "no scan here can be used."
    if not sets:
        return "scans without contours, for gynbtnet predict and stage 1."
    if not structures:
        return "scans with contours, but no name of a structure is understood; map the names with an alias file."
    return "scans with contours that can be ingested" + (", except for the problems below." if problems else ".")


def _names_line(listed: tuple[RoiName, ...]) -> str:
    if not listed:
        return "Names: none."
    known = sorted({one.structure for one in listed if one.structure})
    unknown = [one for one in listed if not one.structure]
    line = f"Names: {counted(len(listed), 'ROI name')}; understood as {', '.join(known) or 'no structure'}"
    if not unknown:
        return f"{line}."
    more = f" and {len(unknown) - _MOST_NAMES} more" if len(unknown) > _MOST_NAMES else ""
    shown = quoted(one.name for one in unknown[:_MOST_NAMES])
    return f"{line}; {len(unknown)} not understood: {shown}{more}."


def _meaning(one: RoiName) -> str:
    if one.structure:
        return f", {one.structure}"
    return f", {' or '.join(one.proposals)}" if one.proposals else ""


def _scalar(name: str) -> str:
    """Return a name as a YAML scalar on one line, in quotation marks."""
    return yaml.safe_dump(name, default_style='"', allow_unicode=True, width=2**20).strip()
