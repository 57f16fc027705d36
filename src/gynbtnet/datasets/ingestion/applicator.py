"""Which applicator is in place: what names in a plan, a structure set or a table say, and nothing that they don't.

The type is its parts in a fixed order, such as ``tandem+ovoids``, ``tandem+ring``, ``cylinder`` or
``tandem+ovoids+needles``. A part is in place where a name has one of its words: case, numbers and punctuation don't
count, and a word is a whole word, so that "string" is no ring. In order of rank:

1. a table or folder name that the user gives (:mod:`gynbtnet.datasets.ingestion.scan_identity`);
2. the RTPLAN of the RTSTRUCT: ApplicationSetupName, SourceApplicatorName, SourceApplicatorID, BrachyAccessoryDeviceName
   (DICOM PS3.3 C.8.8.15). ApplicationSetupType is not asked: the standard demands it, and it names a school
   ("FLETCHER_SUIT"), not what was implanted;
3. the RTSTRUCT: the names of its ROIs. A ring, cylinder or mould counts there only beside a tandem or where the ROI's
   interpreted type begins with BRACHY (PS3.3 C.8.8.8): planners give these names to help structures too.

Where nobody says it the applicator is unknown, and stays so.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
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
"""The words of each part, in the order in which parts stand in a type."""

_SHORT = {"o": "ovoids", "r": "ring", "c": "cylinder"}
_AMBIGUOUS = {"ring", "cylinder", "mould"}


def applicator_in(names: Iterable[str]) -> str | None:
    """The type that names say together; None where none of them says a part."""
    parts = {part for name in names for part in _parts(name)}
    return "+".join(part for part in PARTS if part in parts) or None


def applicator_of_plan(path: Path) -> str | None:
    """The type by the names in an RTPLAN; None where they say none.

    Raises:
        BadInput: where the file can't be read.
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
    """The type by the names of an RTSTRUCT's ROIs; None where they say none.

    Raises:
        BadInput: where the file can't be read.
    """
    with dicom_errors_as_bad_input(path):
        rtstruct = read_header(path, "an RTSTRUCT", ["StructureSetROISequence", "RTROIObservationsSequence"])
        kinds = {
            one.get("ReferencedROINumber"): str(one.get("RTROIInterpretedType", ""))
            for one in rtstruct.get("RTROIObservationsSequence") or ()
        }
        certain: set[str] = set()
        ambiguous: set[str] = set()
        for roi in rtstruct.get("StructureSetROISequence") or ():
            parts = _parts(str(roi.get("ROIName", "")))
            is_brachy = kinds.get(roi.get("ROINumber"), "").startswith("BRACHY")
            certain |= {part for part in parts if is_brachy or part not in _AMBIGUOUS}
            ambiguous |= parts
        return applicator_in(ambiguous if "tandem" in certain else certain)


def find_applicator(rtstruct: Path, plans: Sequence[Path]) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Type, who says it, and a sentence where plans or structures say different things.

    Plans that disagree say nothing.

    Raises:
        BadInput: where a file can't be read.
    """
    by_structures = applicator_of_structures(rtstruct)
    said = sorted({kind for plan in plans if (kind := applicator_of_plan(plan))})
    if len(said) > 1:
        note = f"Its RTPLANs name different applicators, {' and '.join(said)}, so that it counts as unknown."
        return None, None, (note,)
    if said:
        differs = by_structures not in (None, said[0])
        note = f"The RTPLAN names the applicator {said[0]}, the RTSTRUCT {by_structures}; the plan's counts."
        return said[0], "RTPLAN", (note,) if differs else ()
    return by_structures, "RTSTRUCT" if by_structures else None, ()


def find_plans(rtstruct: Path, plans: Mapping[Path, str]) -> tuple[Path, ...]:
    """The RTPLANs that refer to an RTSTRUCT.

    Args:
        rtstruct: the RTSTRUCT.
        plans: by path, the SOPInstanceUID of the RTSTRUCT that each refers to, see :func:`referenced_structure_set`.

    Raises:
        BadInput: where a file can't be read.
    """
    with dicom_errors_as_bad_input(rtstruct):
        uid = str(read_header(rtstruct, "an RTSTRUCT", ["SOPInstanceUID"]).get("SOPInstanceUID", ""))
    return tuple(path for path, referred in plans.items() if uid and referred == uid)


def referenced_structure_set(plan: Path) -> str:
    """The SOPInstanceUID of the RTSTRUCT that an RTPLAN refers to; empty if it refers to none.

    Raises:
        BadInput: If the file can't be read.
    """
    with dicom_errors_as_bad_input(plan):
        items = read_object(plan, "an RTPLAN").get("ReferencedStructureSetSequence")
        first = items[0] if items else Dataset()
        return str(first.get("ReferencedSOPInstanceUID", ""))


def canonical_applicator(text: str) -> str:
    """An applicator as a user writes it, in our words where it names parts that we know, else as it stands."""
    return applicator_in([text]) or " ".join(text.split())


def _parts(name: str) -> set[str]:
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
    found = {part for part, meaning in PARTS.items() if words & meaning}
    for letter in re.findall(r"(?<![A-Za-z])T\s*(?:&|\+|and)\s*([ORC])(?![A-Za-z])", name, re.IGNORECASE):
        found |= {"tandem", _SHORT[letter.lower()]}
    return found
