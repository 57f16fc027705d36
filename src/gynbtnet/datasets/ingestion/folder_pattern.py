"""Patients, fractions and applicators as the names of folders say them."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from gynbtnet.datasets.ingestion.applicator import canonical_applicator
from gynbtnet.datasets.ingestion.scan_metadata import ScanMetadata
from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.runtime.errors import BadInput

_FIELDS = ("patient", "fraction", "applicator")


@dataclass(frozen=True)
class FolderPattern:
    """A pattern such as ``{patient}/{fraction}`` or ``cohort-*/{patient}_{applicator}/Fx{fraction}``.

    It describes the first folders below the source; what follows is free. ``{patient}`` must be in it, ``{fraction}``
    and ``{applicator}`` may be; ``*`` stands for anything within one name, every other letter for itself. A fraction is
    the last number in what ``{fraction}`` stands for. The last name in a pattern may be an image file's, without its
    suffix.

    Attributes:
        text: the pattern.
        source: what it is about.
    """

    text: str
    source: str = "folder"

    def __post_init__(self) -> None:
        fields = re.findall(r"\{([^{}]*)\}", self.text)
        if "patient" not in fields or len(set(fields)) < len(fields) or set(fields).difference(_FIELDS):
            raise BadInput(
                f"{self.text} is no pattern of folders; expected each of {{patient}}, {{fraction}} and {{applicator}} "
                "at most once and {patient} for certain, such as {patient}/{fraction}."
            )

    @property
    def channels(self) -> tuple[str, ...]:
        """No further channels: a pattern names none."""
        return ()

    def told(self, place: PurePath, root: Path) -> ScanMetadata:
        """What it says of the scan at ``place``, relative to the source ``root``.

        Raises:
            BadInput: where the place doesn't fit the pattern, or a fraction has no number.
        """
        steps = place.parts or (root.name,)
        found = re.match(self._expression, unicode_composed("/".join(steps)) + "/")
        if found is None:
            raise BadInput(
                f"The scan in {root / place} doesn't fit the pattern {self.text} of folders; expected all scans of a "
                "source to lie as it says: change the pattern, or list them in a table."
            )
        said = found.groupdict()
        numbers = re.findall(r"\d+", said.get("fraction") or "")
        if "fraction" in said and not numbers:
            raise BadInput(f"The name of a fraction in {root / place} has no number; expected one such as Fx3.")
        return ScanMetadata(
            patient=said["patient"],
            fraction=int(numbers[-1]) if numbers else None,
            applicator=canonical_applicator(said["applicator"]) if "applicator" in said else None,
        )

    @property
    def _expression(self) -> str:
        parts = re.split(r"(\{\w+\}|\*)", unicode_composed(self.text).strip("/"))
        names = {"*": "[^/]*"} | {f"{{{field}}}": f"(?P<{field}>[^/]+?)" for field in _FIELDS}
        return "".join(names.get(part, re.escape(part)) for part in parts) + "/"
