"""Reviews as cases: read and written by the same ingestion as every other scan, with the origin of each contour."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents
from gynbtnet.datasets.ingestion.ingest_found import ingest_found
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.inference.prediction_files import RTSTRUCT_FILE
from gynbtnet.learning.reviewed_scans import ReviewedScan
from gynbtnet.review.case import open_case
from gynbtnet.review.reviewed_files import read_reviewed_contours
from gynbtnet.runtime.phrases import enumeration
from gynbtnet.runtime.progress import without_progress


def learned_structures(reviewed: ReviewedScan, structures: Sequence[str], *, untouched: bool) -> tuple[str, ...]:
    """Return the structures of a review that may be learned from, in the order of ``structures``.

    Corrected ones are. Contours that were accepted unchanged are the model's own: it would confirm itself, so they are
    learned from only on request. Structures that nobody accepted never are.

    Args:
        reviewed: the review.
        structures: structures of the cohort.
        untouched: also return structures that were accepted unchanged.
    """
    allowed = {"corrected", "untouched"} if untouched else {"corrected"}
    return tuple(name for name in structures if reviewed.origins.get(name) in allowed)


def ingest_review(
    reviewed: ReviewedScan,
    learned: Sequence[str],
    cohort: Cohort,
    out: Path,
    *,
    key: PatientKey,
    allow_overlap: bool = False,
) -> Case:
    """Write a reviewed scan as the only case of a cohort.

    Args:
        reviewed: the review.
        learned: structures to take from it. The others are missing from the case, that is unknown, not absent.
        cohort: cohort whose structures and channels the case has.
        out: folder for the case; an earlier one of the same scan is replaced.
        key: key that gives the patient's study ID; a new patient is added to it.
        allow_overlap: take structures that lose much of their volume to others in the label map.

    Returns:
        The case.

    Raises:
        BadInput: If the scan has changed since it was predicted, or scan or contours can't be read.
    """
    rtstruct = reviewed.folder / RTSTRUCT_FILE
    scan = replace(
        reviewed.scan,
        contours=reviewed.contour_files,
        rtstruct=rtstruct if rtstruct.is_file() else None,
        notes=(*reviewed.scan.notes, _provenance(reviewed, learned)),
    )
    found = FoundScans(
        (scan,),
        partial(_read, reviewed=reviewed, learned=tuple(learned), structures=cohort.structures),
        structures=cohort.structures,
        channels=cohort.channels,
        depends_on=repr((reviewed.digest, tuple(learned))),
    )
    with without_progress():
        ingestion = ingest_found(found, out, key=key, allow_overlap=allow_overlap, all_structures=False)
    return ingestion.cohort.cases[0]


def _provenance(reviewed: ReviewedScan, learned: Sequence[str]) -> str:
    """Return one sentence about the origin of the contours."""
    model = f"model {reviewed.record.model_sha256[:8]}"
    corrected = [name for name in learned if reviewed.origins[name] == "corrected"]
    untouched = [name for name in learned if reviewed.origins[name] == "untouched"]
    parts = [f"corrected from {model}: {enumeration(corrected)}"] if corrected else []
    parts += [f"accepted as {model} predicted: {enumeration(untouched)}"] if untouched else []
    return f"Its contours are those of a review; {'; '.join(parts)}."


def _read(
    scan: FoundScan, reviewed: ReviewedScan, learned: tuple[str, ...], structures: tuple[str, ...]
) -> ScanContents:
    """Read a reviewed scan and the contours to learn from, after checking that the scan is the one reviewed."""
    case = open_case(reviewed.prediction_folder, scan=scan.path)
    contours = read_reviewed_contours(reviewed.folder, tuple(reviewed.record.structures), case.scan.geometry)
    masks = {name: contours.mask(name) for name in learned}
    segmentation, overlaps = paint_label_map(masks, structures, case.scan.geometry)
    missing = tuple(name for name in structures if name not in learned)
    return ScanContents(case.scan, segmentation, missing, overlaps, notes=scan.notes)
