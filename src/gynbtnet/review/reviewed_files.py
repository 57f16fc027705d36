"""Files of a finished review: RTSTRUCT, SEG, masks and ``review.json``, in a new folder each time."""

import logging
import re
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from gynbtnet.imaging.dicom.rt.rtstruct_revision import RevisedStructure, write_rtstruct_revision
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.seg_writer import write_seg
from gynbtnet.imaging.files.mask_folder import read_mask_folder, write_mask_folder
from gynbtnet.imaging.files.volume_files import read_volume, write_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.inference.prediction_files import (
    LABELS_FILE,
    MASKS_FOLDER,
    REVIEWS_FOLDER,
    RTSTRUCT_FILE,
    SEG_FILE,
)
from gynbtnet.review.case import ReviewCase
from gynbtnet.review.correction import measure_correction
from gynbtnet.review.record import REVIEW_FILE, Status, StructureReview, ToolUse, make_record
from gynbtnet.review.session import Edit, ReviewSession
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import write_json

_NOTICE = "Research use only"
_LOG = logging.getLogger(__name__)


def read_reviewed_contours(folder: Path, structures: Sequence[str], geometry: Geometry) -> Segmentation:
    """Read the contours of a review.

    Args:
        folder: folder of the review.
        structures: structures in the order of its record.
        geometry: grid of the scan.

    Returns:
        The structures on this grid.

    Raises:
        BadInput: If the contours are damaged or on another grid.
    """
    path = folder / LABELS_FILE
    if path.is_file():
        labels = as_whole_labels(read_volume(path), path)
        try:
            contours = Segmentation(labels, tuple(structures))
        except ValueError as error:
            raise BadInput(f"{path}: {error}; write the review again.") from error
    else:
        contours = read_mask_folder(folder / MASKS_FOLDER, tuple(structures))
    if not geometry.is_same(contours.labels.geometry):
        raise BadInput(
            f"The contours in {folder} aren't on the grid of the scan, "
            f"{geometry.difference(contours.labels.geometry)}; write the review again."
        )
    return contours


def write_review(case: ReviewCase, session: ReviewSession, *, seg: bool = False, reviewer: str | None = None) -> Path:
    """Write the present state of a review to the next free folder ``review/001``, ``review/002``, ….

    For a DICOM scan it contains ``RS.dcm`` and, if asked, ``SEG.dcm``; in any case ``labels.nii.gz``, or the folder
    ``masks`` if structures overlap, and ``review.json``. The folder is complete or absent, and nothing is replaced.

    Args:
        case: the case.
        session: its review.
        seg: also write a DICOM SEG.
        reviewer: name of the person who approves the contours; None leaves them unapproved.

    Returns:
        The folder.

    Raises:
        BadInput: If contours are approved that nobody accepted, or a SEG is asked for that can't be written.
    """
    open_structures = [name for name in session.structures if name not in session.accepted]
    names = StructureNames.load()
    if reviewer and open_structures:
        listed = ", ".join(names.display_name(name) for name in open_structures)
        raise BadInput(f"Only accepted contours can be approved; accept {listed} first, or start without --approve.")
    if seg and case.series is None:
        raise BadInput("A DICOM SEG needs a DICOM scan, and this scan is an image file.")
    segmentation, _ = paint_label_map(session.masks, session.structures, case.scan.geometry)
    out = _next_folder(case.folder / REVIEWS_FOLDER)
    structures = {name: _structure_review(name, case, session, names) for name in session.structures}
    with atomic_write(out) as folder:
        folder.mkdir()
        files = [_write_masks(segmentation, folder)]
        if case.series is not None:
            _write_rtstruct(case, session, structures, folder / RTSTRUCT_FILE, names, reviewer)
            files.append(RTSTRUCT_FILE)
        if seg and case.series is not None:
            edited = [name for name in session.structures if session.is_edited(name)]
            write_seg(
                segmentation,
                case.series,
                folder / SEG_FILE,
                names=names,
                description=_description(case, reviewer),
                software_version=version("gynbtnet"),
                edited=edited,
                content=f"{_NOTICE}, reviewed",
            )
            files.append(SEG_FILE)
        record = make_record(
            case.record,
            structures,
            files=(*files, REVIEW_FILE),
            approved_by=reviewer,
            active_seconds=round(sum(session.seconds.values()), 1),
        )
        write_json(record, folder / REVIEW_FILE)
    try:
        session.written(out.name)
    except OSError:  # the files are complete, and nothing is read from this record
        _LOG.warning("The disk is full or fails: the review was written, but its journal doesn't mention it.")
    return out


def _structure_review(
    structure: str, case: ReviewCase, session: ReviewSession, names: StructureNames
) -> StructureReview:
    edited, accepted = session.is_edited(structure), structure in session.accepted
    status: Status = "edited" if edited else "not reviewed"
    if accepted:
        status = "accepted edited" if edited else "accepted unchanged"
    return StructureReview(
        status=status,
        algorithm="SEMIAUTOMATIC" if edited else "AUTOMATIC",
        viewed_share=round(session.viewed_share(structure), 4),
        active_seconds=round(session.seconds[structure], 1),
        correction=measure_correction(
            structure,
            session.automatic[structure],
            session.masks[structure],
            case.scan.geometry,
            doses=case.doses,
            names=names,
        ),
        tools=_tools(structure, session.done),
    )


def _tools(structure: str, edits: Sequence[Edit]) -> dict[str, ToolUse]:
    """Return the use of each tool on a structure."""
    own = [edit for edit in edits if edit.structure == structure]
    uses: dict[str, ToolUse] = {}
    for tool in sorted({edit.tool for edit in own}):
        planes = [{(patch.axis, patch.index) for patch in edit.patches} for edit in own if edit.tool == tool]
        uses[tool] = ToolUse(strokes=len(planes), planes=len(set().union(*planes)))
    return uses


_REMARKS: dict[Status, str] = {
    "accepted unchanged": "Automatic contour, accepted unchanged.",
    "accepted edited": "Automatic contour, edited and accepted.",
    "edited": "NOT ACCEPTED. Automatic contour, edited.",
    "not reviewed": "NOT REVIEWED. Automatic contour.",
}


def _write_rtstruct(
    case: ReviewCase,
    session: ReviewSession,
    structures: dict[str, StructureReview],
    path: Path,
    names: StructureNames,
    reviewer: str | None,
) -> None:
    """Write the revision of the prediction's RTSTRUCT; if it has none, of one made for this."""
    assert case.series is not None
    revised = {
        name: RevisedStructure(session.automatic[name], session.masks[name], _REMARKS[structures[name].status])
        for name in session.structures
    }
    settings = case.record.settings
    with tempfile.TemporaryDirectory() as temporary:
        source = case.rtstruct or Path(temporary) / RTSTRUCT_FILE
        if case.rtstruct is None:
            write_rtstruct(
                case.automatic,
                case.series,
                source,
                names=names,
                label=f"{case.record.model.name} {case.record.model.sha256}"[:16],
                description=_description(case, None),
                software_version=version("gynbtnet"),
            )
        write_rtstruct_revision(
            source,
            case.series,
            revised,
            path,
            names=names,
            description=_description(case, reviewer),
            software_version=version("gynbtnet"),
            reviewer=reviewer,
            has_predecessor=case.rtstruct is not None,
            contour_style="exact" if settings.get("contour_style") == "exact" else "smooth",
            hole_style="inner" if settings.get("hole_style") == "inner" else "keyhole",
        )


def _description(case: ReviewCase, reviewer: str | None) -> str:
    """Return a SeriesDescription of at most 64 characters."""
    state = "reviewed and approved" if reviewer else "reviewed, not approved"
    notice = f"{_NOTICE}, {state}. Model {case.record.model.sha256[:8]}"
    return f"SYNTHETIC. {notice}"[:64] if case.record.synthetic else notice


def _write_masks(segmentation: Segmentation, folder: Path) -> str:
    if isinstance(segmentation, OverlappingSegmentation):
        write_mask_folder(segmentation, folder / MASKS_FOLDER)
        return MASKS_FOLDER
    write_volume(segmentation.labels, folder / LABELS_FILE)
    return LABELS_FILE


def _next_folder(reviews: Path) -> Path:
    numbers = [int(path.name) for path in reviews.glob("*") if re.fullmatch(r"\d{3,}", path.name)]
    return reviews / f"{max(numbers, default=0) + 1:03d}"
