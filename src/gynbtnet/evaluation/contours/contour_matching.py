"""Matching of contours to the cases of a cohort: by name, by the scan that they refer to, or by its digest."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.contours.contour_files import ContourFiles
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of


def match_contours(cases: Sequence[Case], found: Sequence[ContourFiles]) -> Mapping[str, ContourFiles]:
    """Return the contours of each case that has some, by its id.

    Contours belong to a case if they name its SeriesInstanceUID or the SHA-256 of its scan. Otherwise the name of their
    folder or file must be the id of the case. A name doesn't count if the files name another scan. The RTSTRUCT
    that the case was ingested from is not compared with itself.

    Args:
        cases: cases of a cohort.
        found: contours in one folder.

    Returns:
        Contours by case id; cases without contours are left out.

    Raises:
        BadInput: If several contours belong to one case.
    """
    matched = {}
    has_digests = any(files.scan_sha256 and not files.series_uids for files in found)
    for case in cases:
        by_name = [files for files in found if case.id in files.names and not _names_another_scan(files, case)]
        by_scan = [files for files in found if case.source.series_uid and case.source.series_uid in files.series_uids]
        by_scan = [files for files in by_scan if not _is_own_reference(files, case)]
        candidates = [files for files in by_name if files in by_scan] or by_scan or by_name
        if not candidates and has_digests:
            digests = _digests(case)
            candidates = [files for files in found if files.scan_sha256 in digests]
        if len(candidates) > 1:
            listed = " and ".join(str(files.path) for files in candidates)
            raise BadInput(
                f"{listed} are {'both ' if len(candidates) == 2 else ''}contours of the scan {case.id}; expected one: "
                "put those of each reader or model into a separate folder."
            )
        if candidates:
            matched[case.id] = candidates[0]
    return matched


def explain_no_match(case: Case, folder: Path, found: Sequence[ContourFiles], *, of_reader: bool = False) -> str:
    """Return the sentence that a folder has no contours of a case, and what to do.

    Args:
        case: the case.
        folder: the folder.
        found: contours in it.
        of_reader: whether the folder was given as that of a reader, who may leave cases out.
    """
    names = ", ".join(sorted({files.names[-1] for files in found})[:5])
    lacks = (
        f"no contours of the cases, such as {case.id}; expected them"
        if of_reader
        else (f"no prediction of {case.id}; expected one per case,")
    )
    by_person = "call each by the id of its case, or export RTSTRUCTs on the CTs that were ingested"
    if any(_is_own_reference(files, case) for files in found):
        advice = "The cohort's own RTSTRUCTs aren't compared with themselves: give those of another reader or a model."
    elif any(files.automatic for files in found):
        advice = "Run `gynbtnet predict MODEL COHORT` to make them."
    elif of_reader:
        advice = f"{by_person[:1].upper()}{by_person[1:]}."
    else:
        advice = f"For contours of a person, {by_person}; for those of a model, run `gynbtnet predict MODEL COHORT`."
    return (
        f"{folder} has {lacks} called by its id or made from its scan. It has {names}"
        f"{', …' if len(found) > 5 else ''}. {advice}"
    )


def _names_another_scan(files: ContourFiles, case: Case) -> bool:
    uid = case.source.series_uid
    return bool(uid and files.series_uids and uid not in files.series_uids)


def _is_own_reference(files: ContourFiles, case: Case) -> bool:
    return files.form == "rtstruct" and sha256_of(files.path) in case.source.sha256.values()


def _digests(case: Case) -> set[str]:
    """Return the digests by which a prediction can name the scan of a case: of its source, and of the cohort's file."""
    return {*case.source.sha256.values(), sha256_of(*case.images)}
