"""Which of several structure sets on one CT is taken.

Without a rule none is: which one is right is not for a program to guess. The rules are words or patterns, applied one
after the other until one structure set is left:

- ``newest``: the latest StructureSetDate and StructureSetTime; sets without a date are older than all others;
- ``approved``: those of ApprovalStatus APPROVED;
- anything else is a pattern, such as ``*final*``, for the file name or the StructureSetLabel; case doesn't matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from gynbtnet.imaging.dicom.objects import code_value, dicom_errors_as_bad_input, read_header
from gynbtnet.runtime.errors import BadInput

NEWEST, APPROVED = "newest", "approved"
_LONGEST = 16  # characters of a StructureSetLabel, value representation SH


class AmbiguousContours(BadInput):
    """Several structure sets are drawn on one CT, and no rule says which is meant."""


@dataclass(frozen=True)
class _StructureSet:
    path: Path
    label: str
    date: str
    time: str
    approved: bool

    @property
    def summary(self) -> str:
        """The set in a list of them."""
        when = f", {self.date} {self.time}".rstrip() if self.date else ", without a date"
        approved = ", approved" if self.approved else ""
        return f"{self.path} (“{self.label}”{when}{approved})"


def chosen_structure_set(rtstructs: Sequence[Path], rules: Sequence[str]) -> Path:
    """Return the one structure set that is left by ``rules``.

    Args:
        rtstructs: at least two, drawn on one CT.
        rules: see the module; none refuses.

    Raises:
        AmbiguousContours: If not exactly one is left.
        BadInput: If a set can't be read.
    """
    sets = [_structure_set(path) for path in rtstructs]
    left = sets
    for rule in rules:
        if len(left) > 1:
            left = _narrowed(left, rule)
    if len(left) == 1:
        return left[0].path
    listed = " and ".join(one.summary for one in sets)
    if rules:
        reason = f"and --rtstruct {','.join(rules)} leaves {len(left)} of them; expected one: choose by another rule."
    else:
        reason = (
            "and which is meant is not known; choose with --rtstruct newest, approved, or a pattern of file name or "
            "label, or take the others out of the folder."
        )
    raise AmbiguousContours(f"{listed} are {'both ' if len(sets) == 2 else ''}drawn on one CT, {reason}")


def _narrowed(sets: Sequence[_StructureSet], rule: str) -> list[_StructureSet]:
    if rule == APPROVED:
        return [one for one in sets if one.approved]
    if rule == NEWEST:
        latest = max((one.date, one.time) for one in sets)
        return [one for one in sets if (one.date, one.time) == latest]
    pattern = rule.casefold()
    return [one for one in sets if any(fnmatchcase(name.casefold(), pattern) for name in (one.path.name, one.label))]


def _structure_set(path: Path) -> _StructureSet:
    wanted = ["StructureSetLabel", "StructureSetDate", "StructureSetTime", "ApprovalStatus"]
    with dicom_errors_as_bad_input(path):
        header = read_header(path, "an RTSTRUCT", wanted)
        date, time = (code_value(header, keyword) for keyword in wanted[1:3])
        label = str(header.get("StructureSetLabel", "") or "").strip()[:_LONGEST]
        return _StructureSet(path, label, date, time, code_value(header, "ApprovalStatus") == "APPROVED")
