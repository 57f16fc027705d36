"""Which dose belongs to which case, and its voxels.

Among DICOM files a dose belongs to the scan in whose frame of reference it lies; where several scans share a frame, to
the one in its study. A dose that was exported as an image in Gy is named after its case.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.imaging.dicom.objects import RT_DOSE, code_value, dicom_errors_as_bad_input, read_header, uid_value
from gynbtnet.imaging.dicom.rt.dose_sum import group_doses_by_plan
from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
from gynbtnet.imaging.dicom.series import FoundSeries, search_series
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import is_image_file, read_volume, without_suffix
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.progress import track


def find_doses(cases: Sequence[Case], folder: Path | None = None) -> Mapping[str, tuple[Path, ...]]:
    """By case id the files of its dose, none where there is none.

    Args:
        cases: whose doses are sought.
        folder: searched with everything below, for images ``CASE.nii.gz`` in Gy and for RTDOSEs; left out, each case's
            RTDOSEs are sought below the folder that holds both its CT series and its RTSTRUCT.

    Raises:
        BadInput: If the folder is absent, no case has a dose, or a dose is that of several fractions.
    """
    if folder is not None and not Path(folder).is_dir():
        raise BadInput(
            f"There is no folder {folder}; expected one with RTDOSEs, or with a dose CASE.nii.gz in Gy a case."
        )
    images = {without_suffix(path.name): path for path in files_below(folder) if is_image_file(path)} if folder else {}
    found: dict[str, tuple[Path, ...]] = {case.id: (images[case.id],) for case in cases if case.id in images}
    rest = [case for case in cases if case.id not in found and case.source.ct_folder and case.source.series_uid]
    found |= _rtdoses(rest, folder)
    if not any(found.values()):
        where = folder or "the folders that the cases were ingested from"
        raise BadInput(
            f"{where} holds no dose of any of {len(cases)} cases; expected RTDOSEs in the frames of reference of their "
            "CTs, or images CASE.nii.gz in Gy: name the folder with --doses. Cases that were pseudonymised or came as "
            "images don't know their DICOM files and need images."
        )
    return {case.id: found.get(case.id, ()) for case in cases}


def read_dose(files: Sequence[Path]) -> tuple[Volume, ...]:
    """The grids, in Gy, that add up to the dose of one case.

    Raises:
        BadInput: where a file can't be read, a dose is not physical or below 0, or the doses belong to several plans.
    """
    if len(files) == 1 and is_image_file(files[0]):
        dose = read_volume(files[0])
        if dose.array.min() < 0:
            raise BadInput(f"{files[0]} holds values below 0; expected a dose in Gy: name the folder of doses.")
        return (dose,)
    doses = [read_rtdose(path) for path in files]
    plans = group_doses_by_plan(doses)
    if len(plans) > 1:
        raise BadInput(
            f"{files[0]} and {len(files) - 1} more RTDOSEs of one scan belong to {len(plans)} plans; expected the plan "
            "that was delivered: take the others out of the folder, or name a folder without them with --doses."
        )
    return tuple(dose.grid for parts in plans.values() for dose in parts)


def check_one_fraction(doses: Sequence[Path], plans: Sequence[Path]) -> None:
    """Raise BadInput if a dose belongs to a plan of several fractions.

    An RTDOSE is the dose of the entire delivery of its plan (PS3.3 C.8.8.3.1), and EQD2 needs the dose of one fraction.
    """
    fractions = {number.uid: number for number in map(_planned_fractions, dict.fromkeys(plans))}
    for path in dict.fromkeys(doses):
        with dicom_errors_as_bad_input(path):
            referenced = (
                read_header(path, "an RTDOSE", ["ReferencedRTPlanSequence"]).get("ReferencedRTPlanSequence") or ()
            )
            uids = [uid_value(plan, "ReferencedSOPInstanceUID") for plan in referenced]
        for several in (fractions[one] for one in uids if one in fractions and fractions[one].count > 1):
            raise BadInput(
                f"{path} is the dose of all {several.count} fractions of the plan in {several.path}; expected that of "
                "one fraction, since EQD2 is computed per fraction: export the dose of a plan of one fraction, or "
                "give it as an image CASE.nii.gz in Gy with --doses."
            )


@dataclass(frozen=True)
class _PlannedFractions:
    """How many fractions an RTPLAN with this SOPInstanceUID prescribes."""

    path: Path
    uid: str
    count: int


def _planned_fractions(path: Path) -> _PlannedFractions:
    with dicom_errors_as_bad_input(path):
        plan = read_header(path, "an RTPLAN", ["SOPInstanceUID", "FractionGroupSequence"])
        groups = plan.get("FractionGroupSequence") or ()
        counts = [code_value(group, "NumberOfFractionsPlanned") for group in groups]
        return _PlannedFractions(
            path, uid_value(plan, "SOPInstanceUID"), sum(int(one) for one in counts if one.isdigit())
        )


def _rtdoses(cases: Sequence[Case], folder: Path | None) -> dict[str, tuple[Path, ...]]:
    searched: dict[Path, list[FoundSeries]] = {}

    def series_below(root: Path) -> list[FoundSeries]:
        if root not in searched:
            search = search_series(root)
            spoilt = [one for one in search.damaged if one.is_possibly(RT_DOSE)]
            if spoilt:  # without it a case would have no dose, or a part of it
                raise BadInput(spoilt[0].reason)
            searched[root] = list(search.series)
        return searched[root]

    scans: dict[str, FoundSeries] = {}
    seen: dict[str, FoundSeries] = {}
    doses: dict[str, list[FoundSeries]] = {}
    for case in track(cases, "Find doses"):
        root = _common_folder(case)
        if not root.is_dir():
            raise BadInput(f"There is no folder {root} any more, from which cases came; name the doses with --doses.")
        seen |= {one.series_uid: one for one in series_below(root) if one.modality == "CT"}
        own = [one for one in series_below(root) if one.series_uid == case.source.series_uid]
        if own:
            scans[case.id] = own[0]
            doses[case.id] = [one for one in series_below(folder or root) if one.modality == "RTDOSE"]
    found = {case_id: _of_scan(scan, doses[case_id], list(seen.values())) for case_id, scan in scans.items()}
    plans = [path for below in searched.values() for one in below if one.modality == "RTPLAN" for path in one.files]
    if any(found.values()) and plans:
        check_one_fraction([path for files in found.values() for path in files], plans)
    return found


def _of_scan(scan: FoundSeries, doses: Sequence[FoundSeries], scans: Sequence[FoundSeries]) -> tuple[Path, ...]:
    framed = [dose for dose in doses if dose.frame_of_reference_uid == scan.frame_of_reference_uid]
    if sum(other.frame_of_reference_uid == scan.frame_of_reference_uid for other in scans) > 1:
        framed = [dose for dose in framed if dose.study_uid == scan.study_uid]
    return tuple(sorted(path for dose in framed for path in dose.files))


def _common_folder(case: Case) -> Path:
    """The folder that holds the scan and its structure set."""
    folders = [case.source.ct_folder, case.source.rtstruct and case.source.rtstruct.parent]
    return Path(os.path.commonpath([folder for folder in folders if folder]))
