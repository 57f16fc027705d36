"""Applicator type by the names in a plan, a structure set or a table; it is never guessed.

The type is a list of parts in a fixed order, such as ``tandem+ovoids``, ``tandem+ring``, ``cylinder`` or
``tandem+ovoids+needles``. A part is present if a name contains one of its words. Case, numbers and punctuation are
ignored, and only whole words count, so "string" is not a ring. Sources in order of priority:

1. a table or folder name that the user gives (:mod:`gynbtnet.datasets.ingestion.scan_identity`);
2. the RTPLAN of the RTSTRUCT: ApplicationSetupName, SourceApplicatorName, SourceApplicatorID, BrachyAccessoryDeviceName
   (DICOM PS3.3 C.8.8.15). ApplicationSetupType is ignored: the standard requires it, and it names a school
   ("FLETCHER_SUIT"), not what was implanted;
3. the RTSTRUCT: the names of its ROIs. A ring, cylinder or mould counts there only with a tandem, or if the interpreted
   type of the ROI begins with BRACHY (PS3.3 C.8.8.8): planners use these names for help structures too.

If no source names it, the applicator is unknown.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.objects import dicom_errors_as_bad_input, read_header, read_object

PARTS = {
    "tandem": {"tandem", "tandems", "intrauterine", "iu", "iut"},
    "ovoids": {"ovoid", "ovoids", "colpostat", "colpostats"},
    "ring": {"ring", "rings"},
    "cylinder": {"cylinder", "cylinders", "cyl"},
    "mould": {"mould", "moulds", "mold", "molds"},
    "needles": {"needle", "needles", "interstitial"},
}
"""Words of each part, in the order of the parts in a type."""

_ABBREVIATIONS = {"o": "ovoids", "r": "ring", "c": "cylinder"}
_AMBIGUOUS = {"ring", "cylinder", "mould"}


@dataclass(frozen=True)
class Applicator:
    """Applicator of a scan.

    Attributes:
        type: its type; None if it is unknown.
        source: "RTPLAN" or "RTSTRUCT"; None if the type is unknown.
        notes: a sentence if plans and structures name different types.
    """

    type: str | None
    source: str | None
    notes: tuple[str, ...] = ()


def applicator_in(names: Iterable[str]) -> str | None:
    """Return the type that the names describe together; None if no name contains a part."""
    parts = {part for name in names for part in _parts(name)}
    return "+".join(part for part in PARTS if part in parts) or None


def applicator_of_plan(path: Path) -> str | None:
    """Return the type by the names in an RTPLAN; None if they contain no part.

    Raises:
        BadInput: If the file can't be read.
    """
    with dicom_errors_as_bad_input(path):
        plan = read_object(path, "an RTPLAN")
        names: list[str] = []
        for setup in plan.get("ApplicationSetupSequence") or ():
            names.append(str(setup.get("ApplicationSetupName", "")))
            for device in setup.get("BrachyAccessoryDeviceSequence") or ():
                names.append(str(device.get("BrachyAccessoryDeviceName", "")))
            for channel in setup.get("ChannelSequence") or ():
                names += [str(channel.get(keyword, "")) for keyword in ("SourceApplicatorName", "SourceApplicatorID")]
        return applicator_in(names)


def applicator_of_structures(path: Path) -> str | None:
    """Return the type by the ROI names of an RTSTRUCT; None if they contain no part.

    Raises:
        BadInput: If the file can't be read.
    """
    with dicom_errors_as_bad_input(path):
        rtstruct = read_header(path, "an RTSTRUCT", ["StructureSetROISequence", "RTROIObservationsSequence"])
        roi_types = {
            observation.get("ReferencedROINumber"): str(observation.get("RTROIInterpretedType", ""))
            for observation in rtstruct.get("RTROIObservationsSequence") or ()
        }
        certain: set[str] = set()
        ambiguous: set[str] = set()
        for roi in rtstruct.get("StructureSetROISequence") or ():
            parts = _parts(str(roi.get("ROIName", "")))
            is_brachy = roi_types.get(roi.get("ROINumber"), "").startswith("BRACHY")
            certain |= {part for part in parts if is_brachy or part not in _AMBIGUOUS}
            ambiguous |= parts
        return applicator_in(ambiguous if "tandem" in certain else certain)


def find_applicator(rtstruct: Path, plans: Sequence[Path]) -> Applicator:
    """Return the applicator that plans and structures name.

    If several plans disagree, the applicator is unknown.

    Args:
        rtstruct: the structure set.
        plans: the RTPLANs that refer to it.

    Raises:
        BadInput: If a file can't be read.
    """
    by_structures = applicator_of_structures(rtstruct)
    by_plans = sorted({type_ for plan in plans if (type_ := applicator_of_plan(plan))})
    if len(by_plans) > 1:
        note = f"Its RTPLANs name different applicators, {' and '.join(by_plans)}, so the applicator is unknown."
        return Applicator(None, None, (note,))
    if by_plans:
        differs = by_structures not in (None, by_plans[0])
        note = f"The RTPLAN names the applicator {by_plans[0]}, the RTSTRUCT {by_structures}; the RTPLAN has priority."
        return Applicator(by_plans[0], "RTPLAN", (note,) if differs else ())
    return Applicator(by_structures, "RTSTRUCT" if by_structures else None)


def find_plans(rtstruct: Path, plans: Mapping[Path, str]) -> tuple[Path, ...]:
    """Return the RTPLANs that refer to an RTSTRUCT.

    Args:
        rtstruct: the RTSTRUCT.
        plans: SOPInstanceUID of the RTSTRUCT that each plan refers to, by path, see :func:`referenced_structure_set`.

    Raises:
        BadInput: If a file can't be read.
    """
    with dicom_errors_as_bad_input(rtstruct):
        uid = str(read_header(rtstruct, "an RTSTRUCT", ["SOPInstanceUID"]).get("SOPInstanceUID", ""))
    return tuple(path for path, referenced_uid in plans.items() if uid and referenced_uid == uid)


def referenced_structure_set(plan: Path) -> str:
    """Return the SOPInstanceUID of the RTSTRUCT that an RTPLAN refers to; empty if it refers to none.

    Raises:
        BadInput: If the file can't be read.
    """
    with dicom_errors_as_bad_input(plan):
        items = read_object(plan, "an RTPLAN").get("ReferencedStructureSetSequence")
        first = items[0] if items else Dataset()
        return str(first.get("ReferencedSOPInstanceUID", ""))


def canonical_applicator(text: str) -> str:
    """Return the type of an applicator as a user writes it, or the text itself if it contains no known part."""
    return applicator_in([text]) or " ".join(text.split())


def _parts(name: str) -> set[str]:
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
    parts = {part for part, synonyms in PARTS.items() if words & synonyms}
    for letter in re.findall(r"(?<![A-Za-z])T\s*(?:&|\+|and)\s*([ORC])(?![A-Za-z])", name, re.IGNORECASE):
        parts |= {"tandem", _ABBREVIATIONS[letter.lower()]}
    return parts
