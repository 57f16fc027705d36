"""DICOM objects of a result, as they are sent: checked against the scan, and named after what they replace."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from highdicom.sc import SCImage
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from gynbtnet.imaging.dicom.objects import RT_STRUCTURE_SET, lenient_pydicom
from gynbtnet.node.configuration import Sent
from gynbtnet.node.inbox import InstanceHeader, parse_header
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.plain_data import load_json

FILES: dict[Sent, str] = {"rtstruct": "RS.dcm", "seg": "SEG.dcm", "preview": "preview.dcm"}
"""Names of the files that are sent."""

_PREVIEW = "preview.png"


class Refused(Exception):  # noqa: N818 - it is a property of the result
    """Raised if a result must not be sent as it is. The message contains no identifier."""


def missing_files(result: Path, kinds: Sequence[Sent]) -> tuple[str, ...]:
    """Return the names of the files that a result lacks.

    Args:
        result: folder of the prediction.
        kinds: kinds of files that are sent. A SEG can't be empty, so none is missing if no structure was found.
    """
    sources = {kind: _PREVIEW if kind == "preview" else FILES[kind] for kind in kinds}
    return tuple(
        name
        for kind, name in sources.items()
        if not (result / name).is_file() and not (kind == "seg" and _has_no_structure(result))
    )


def _has_no_structure(result: Path) -> bool:
    """Return whether a SEG was asked for, and not written although nothing failed."""
    try:
        manifest = load_json(result / "prediction.json")
        return "seg" in (manifest["settings"]["outputs"] or ()) and FILES["seg"] not in manifest["failed"]
    except (OSError, ValueError, KeyError, TypeError):  # absent or damaged
        return False


def write_outgoing(
    result: Path, scan: Sequence[Path], out: Path, replaced: str | None = None, *, allow_approved: bool = False
) -> Path:
    """Write the objects of a result to a folder, all or nothing; they have the same UIDs each time.

    Args:
        result: folder of the prediction.
        scan: files of the scan.
        out: folder to write; an existing one is kept.
        replaced: SOPInstanceUID of the structure set of an earlier result of this series, which was sent.
        allow_approved: a person may have approved the contours.

    Returns:
        ``out``.

    Raises:
        Refused: If no instance of the scan is left. If patient, study or frame of reference of the result differ from
            those of any file of the scan. If the structure set is not marked as unapproved.
    """
    if out.is_dir():
        return out
    check_identity(result, [parse_header(path) for path in scan], allow_approved=allow_approved)
    with atomic_write(out) as partial, lenient_pydicom():
        partial.mkdir()
        for kind in ("rtstruct", "seg"):
            if (result / FILES[kind]).is_file():
                shutil.copyfile(result / FILES[kind], partial / FILES[kind])
        if replaced and (partial / FILES["rtstruct"]).is_file():
            _name_predecessor(partial / FILES["rtstruct"], replaced)
        if (result / _PREVIEW).is_file():
            _secondary_capture(result / _PREVIEW, pydicom.dcmread(scan[0], stop_before_pixels=True)).save_as(
                partial / FILES["preview"]
            )
    return out


def check_identity(result: Path, headers: Sequence[InstanceHeader], *, allow_approved: bool = False) -> None:
    """Check that a result belongs to the scan, and that nobody could take it for approved.

    Args:
        result: folder with ``RS.dcm``, ``SEG.dcm`` or both.
        headers: headers of the scan's files.
        allow_approved: a person may have approved the contours.

    Raises:
        Refused: If not.
    """
    if not headers:
        raise Refused("No instance of the scan is left; send the scan again, then the result is sent.")
    identities = {header.identity for header in headers}
    if len(identities) > 1:
        raise Refused("The scan has instances of several patients, studies or frames of reference.")
    for name in (FILES["rtstruct"], FILES["seg"]):
        if not (result / name).is_file():
            continue
        with lenient_pydicom():
            dataset = pydicom.dcmread(result / name, stop_before_pixels=True)
            found = (_value(dataset, "PatientID"), _value(dataset, "StudyInstanceUID"), _frame_of_reference(dataset))
            is_approved = _value(dataset, "ApprovalStatus") not in ("", "UNAPPROVED")
        expected = next(iter(identities))
        for what, own, other in zip(("patient", "study", "frame of reference"), found, expected, strict=True):
            if own != other:
                raise Refused(f"The {what} of {name} and of the scan differ; nothing is sent.")
        if is_approved and not allow_approved:
            raise Refused(f"{name} is not marked as unapproved; nothing is sent.")


def instance_uid(path: Path) -> str:
    """Return the SOPInstanceUID of a DICOM file."""
    with lenient_pydicom():
        return str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)


def _value(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "").strip()


def _frame_of_reference(dataset: Dataset) -> str:
    if dataset.get("SOPClassUID") == RT_STRUCTURE_SET:
        referenced = dataset.get("ReferencedFrameOfReferenceSequence") or ()
        uids = {_value(item, "FrameOfReferenceUID") for item in referenced}
        return uids.pop() if len(uids) == 1 else ""
    return _value(dataset, "FrameOfReferenceUID")


def _name_predecessor(path: Path, replaced: str) -> None:
    """Refer to the structure set that this one replaces (PS3.3 C.8.8.5, Predecessor Structure Set Sequence)."""
    dataset = pydicom.dcmread(path)
    predecessor = Dataset()
    predecessor.ReferencedSOPClassUID = RT_STRUCTURE_SET
    predecessor.ReferencedSOPInstanceUID = replaced
    dataset.PredecessorStructureSetSequence = [predecessor]
    dataset.save_as(path)


def _secondary_capture(picture: Path, slice_: Dataset) -> SCImage:
    """Return a picture as a Secondary Capture in the scan's study, with UIDs that follow from the scan's."""
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    origin = str(slice_.SeriesInstanceUID)
    return SCImage.from_ref_dataset(
        ref_dataset=slice_,
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=generate_uid(entropy_srcs=["gynbtnet preview series", origin]),
        sop_instance_uid=generate_uid(entropy_srcs=["gynbtnet preview", origin, pixels.tobytes().hex()[:4096]]),
        series_number=9001,
        instance_number=1,
        manufacturer="GynBTNet",
        patient_orientation=("L", "P"),
    )
