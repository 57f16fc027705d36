"""Selection of one of several structure sets on one CT.

Without a rule none is selected: the program can't know which one is right. Rules are words or patterns, applied one
after the other until one structure set is left:

- ``latest``: the latest StructureSetDate and StructureSetTime; sets without a date are older than all others;
- ``approved``: those with the ApprovalStatus APPROVED;
- ``label=PATTERN`` compares the StructureSetLabel, as in ``label=*final*``, in any case;
- anything else is a pattern for the file name or the StructureSetLabel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from gynbtnet.imaging.dicom.objects import code_value, dicom_errors_as_bad_input, read_header
from gynbtnet.runtime.errors import BadInput

LATEST, APPROVED, LABEL = "latest", "approved", "label="
_MAX_LABEL_LENGTH = 16  # characters of a StructureSetLabel, value representation SH


class AmbiguousContours(BadInput):
    """Several structure sets on one CT, without a rule that selects one."""


@dataclass(frozen=True)
class _StructureSet:
    path: Path
    label: str
    date: str
    time: str
    approved: bool

    @property
    def summary(self) -> str:
        """Path, label, date and approval in one phrase."""
        date = f", {self.date} {self.time}".rstrip() if self.date else ", without a date"
        approved = ", approved" if self.approved else ""
        return f"{self.path} (“{self.label}”{date}{approved})"


def choose_structure_set(rtstructs: Sequence[Path], rules: Sequence[str]) -> Path:
    """Return the only structure set that fits the rules.

    Args:
        rtstructs: at least two structure sets on one CT.
        rules: rules, see the module; without rules there is an error.

    Raises:
        AmbiguousContours: If not exactly one is left.
        BadInput: If a set can't be read.
    """
    sets = [_read_structure_set(path) for path in rtstructs]
    candidates = sets
    for rule in rules:
        if len(candidates) > 1:
            candidates = _filtered(candidates, rule)
    if len(candidates) == 1:
        return candidates[0].path
    listed = " and ".join(item.summary for item in sets)
    if rules:
        reason = f"and --rtstruct {','.join(rules)} leaves {len(candidates)} of them. Expected one: use another rule."
    else:
        reason = (
            "and it is not known which one to use. Choose with --rtstruct latest, approved, label=PATTERN, or a "
            "pattern of file name or label, or remove the others from the folder."
        )
    raise AmbiguousContours(f"{listed} are {'both ' if len(sets) == 2 else ''}drawn on one CT, {reason}")


def _filtered(sets: Sequence[_StructureSet], rule: str) -> list[_StructureSet]:
    """Return the structure sets that fit a rule."""
    if rule == APPROVED:
        return [item for item in sets if item.approved]
    if rule == LATEST:
        latest = max((item.date, item.time) for item in sets)
        return [item for item in sets if (item.date, item.time) == latest]
    pattern = rule.casefold()
    if pattern.startswith(LABEL):
        return [item for item in sets if fnmatchcase(item.label.casefold(), pattern.removeprefix(LABEL))]
    return [
        item for item in sets if any(fnmatchcase(name.casefold(), pattern) for name in (item.path.name, item.label))
    ]


def _read_structure_set(path: Path) -> _StructureSet:
    keywords = ["StructureSetLabel", "StructureSetDate", "StructureSetTime", "ApprovalStatus"]
    with dicom_errors_as_bad_input(path):
        header = read_header(path, "an RTSTRUCT", keywords)
        date, time = (code_value(header, keyword) for keyword in keywords[1:3])
        label = str(header.get("StructureSetLabel", "") or "").strip()[:_MAX_LABEL_LENGTH]
        return _StructureSet(path, label, date, time, code_value(header, "ApprovalStatus") == "APPROVED")
