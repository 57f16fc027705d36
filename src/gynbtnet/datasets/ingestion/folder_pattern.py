"""Pattern that reads patients, fractions and applicators from folder names."""

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

    It describes the first folders below the source; any folders may follow. It must contain ``{patient}`` and may
    contain ``{fraction}`` and ``{applicator}``. ``*`` matches anything within one name, every other character matches
    itself. A fraction is the last number in the text that ``{fraction}`` matches. The last name in a pattern may be
    that of an image file, without its suffix.

    Attributes:
        text: the pattern.
        source: source of the metadata in manifests.
    """

    text: str
    source: str = "folder"

    def __post_init__(self) -> None:
        fields = re.findall(r"\{([^{}]*)\}", self.text)
        if "patient" not in fields or len(set(fields)) < len(fields) or set(fields).difference(_FIELDS):
            raise BadInput(
                f"{self.text} is not a pattern of folders; expected {{patient}}, and {{fraction}} and {{applicator}} "
                "at most once each, such as {patient}/{fraction}."
            )

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of further channels: none, since a pattern can't name any."""
        return ()

    def read_metadata(self, path: PurePath, root: Path) -> ScanMetadata:
        """Return the metadata of the scan at ``path``, relative to the source ``root``.

        Raises:
            BadInput: If the path doesn't fit the pattern, or a fraction has no number from 1.
        """
        names = path.parts or (root.name,)
        match = re.match(self._expression, unicode_composed("/".join(names)) + "/")
        if match is None:
            raise BadInput(
                f"The scan in {root / path} doesn't fit the pattern {self.text} of folders. All scans of a source must "
                "fit it: change the pattern, or list the scans in a table."
            )
        fields = match.groupdict()
        numbers = re.findall(r"\d+", fields.get("fraction") or "")
        if "fraction" in fields and (not numbers or int(numbers[-1]) == 0):
            found = "the number 0" if numbers else "no number"
            raise BadInput(f"The name of a fraction in {root / path} has {found}; expected one from 1, such as Fx3.")
        return ScanMetadata(
            patient=fields["patient"],
            fraction=int(numbers[-1]) if numbers else None,
            applicator=canonical_applicator(fields["applicator"]) if "applicator" in fields else None,
        )

    @property
    def _expression(self) -> str:
        parts = re.split(r"(\{\w+\}|\*)", unicode_composed(self.text).strip("/"))
        expressions = {"*": "[^/]*"} | {f"{{{field}}}": f"(?P<{field}>[^/]+?)" for field in _FIELDS}
        return "".join(expressions.get(part, re.escape(part)) for part in parts) + "/"
