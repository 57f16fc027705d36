"""The scans below what a user names, each with the name that its prediction gets."""

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.adapters.dicom_scans import damaged_problems
from gynbtnet.datasets.adapters.scan_folders import image_scans
from gynbtnet.imaging.dicom.incomplete_series import POSSIBLY_SHORTER, assess_completeness
from gynbtnet.imaging.dicom.rt.referenced_images import referenced_series
from gynbtnet.imaging.dicom.series import FoundSeries, search_series
from gynbtnet.imaging.dicom.series_selection import select_ct
from gynbtnet.imaging.files.volume_files import SUFFIXES
from gynbtnet.inference.scans.output_names import output_names
from gynbtnet.inference.scans.scan_input import ScanFiles, locate_scan
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class ScanSearch:
    """What was found.

    Attributes:
        scans: by the names of their predictions, in the order of the inputs.
        failed: place and reason of what is there and can't be read.
    """

    scans: Mapping[str, ScanFiles]
    failed: tuple[tuple[str, str], ...]


def find_scans(
    inputs: Sequence[Path], channels: Sequence[str], *, given: Sequence[Path] = (), series_uid: str | None = None
) -> ScanSearch:
    """Every scan below ``inputs``: an image file, a folder of DICOM series of any patients, one of image files, mixed.

    Of the series of one patient in one study and frame of reference, which show the same, one is taken: the one that a
    structure set refers to, else the largest axial one. Image files called a label, a mask or a dose are passed over.

    Args:
        inputs: files and folders; folders are searched with everything below.
        channels: what the model reads.
        given: image files of a single scan's channels after the first.
        series_uid: the series wanted, of the one folder that is given.

    Raises:
        BadInput: where no input holds a scan that can be read, one is absent or named twice, or ``given`` or
            ``series_uid`` is for a single scan and there are several.
    """
    if (given or series_uid) and len(inputs) > 1:
        option = "--channel" if given else "--series"
        raise BadInput(f"{option} belongs to one scan, and {len(inputs)} inputs are given; contour them one by one.")
    if given or series_uid:
        found = locate_scan(inputs[0], channels, given=given, series_uid=series_uid)
        return ScanSearch({next(iter(output_names(inputs))): found}, ())
    places: list[Path] = []
    least: list[int] = []
    scans: list[ScanFiles] = []
    failed: list[tuple[str, str]] = []
    for one in inputs:
        try:
            below, problems = _below(one, channels)
        except BadInput as error:
            if len(inputs) == 1 or not one.exists():
                raise
            below, problems = [], [(str(one), str(error))]
        failed += problems
        own = [one] if len(below) == 1 else [_named(scan, below) for scan in below]
        places += own
        least += [max(1, len(place.parts) - len(one.parts)) for place in own]
        scans += below
    if not scans:
        raise BadInput(failed[0][1])
    return ScanSearch(dict(zip(output_names(places, least), scans, strict=True)), tuple(failed))


def _below(place: Path, channels: Sequence[str]) -> tuple[list[ScanFiles], list[tuple[str, str]]]:
    if not place.is_dir():
        return [locate_scan(place, channels)], []
    search = search_series(place)
    judged = assess_completeness(search)
    failed = [(problem.path, problem.reason) for problem in damaged_problems(search.damaged, judged)]
    whole = [one for one in search.series if one not in judged.incomplete]
    images = image_scans(place, channels)
    failed += [(problem.path, problem.reason) for problem in images.problems]
    scans = [ScanFiles(one.files[0], None, one.channels) for one in images.scans]
    if len(channels) == 1:
        taken, unusable = _dicom_scans(whole, place, judged.doubtful)
        scans += taken
        failed += unusable
    if scans:
        return sorted(scans, key=lambda scan: (scan.place, scan.series.series_uid if scan.series else "")), failed
    if failed:
        raise BadInput(failed[0][1])
    if any(one.modality == "CT" for one in whole):
        raise BadInput(
            f"{place} holds DICOM series, which have one channel, and the model reads {', '.join(channels)}; give one "
            "scan, and an image file for each further channel with --channel."
        )
    kinds = ", ".join(sorted({one.modality for one in whole})) or "no DICOM file at all"
    raise BadInput(
        f"There is no CT below {place} (found: {kinds}); expected DICOM CT series or image files "
        f"({', '.join(SUFFIXES)})."
    )


def _dicom_scans(
    found: Sequence[FoundSeries], place: Path, doubtful: Container[FoundSeries]
) -> tuple[list[ScanFiles], list[tuple[str, str]]]:
    alike: dict[tuple[str, ...], list[FoundSeries]] = {}
    for one in found:
        if one.modality == "CT":
            frame = one.frame_of_reference_uid or str(_folder(one))  # where an anonymiser emptied it
            alike.setdefault((one.patient_id, one.study_uid, frame), []).append(one)
    several = any(len(group) > 1 for group in alike.values())
    drawn, failed = _drawn_on(found) if several else (set(), [])
    scans = []
    for group in alike.values():
        referred = drawn.intersection(one.series_uid for one in group)
        try:
            chosen, note = select_ct(group, str(place), referred_uid=referred.pop() if len(referred) == 1 else None)
        except BadInput as error:
            failed.append((str(_folder(group[0])), str(error)))
        else:
            warnings = (POSSIBLY_SHORTER,) if chosen in doubtful else ()
            scans.append(ScanFiles(_folder(chosen), chosen, note=note, warnings=warnings))
    return scans, failed


def _drawn_on(found: Sequence[FoundSeries]) -> tuple[set[str], list[tuple[str, str]]]:
    """UIDs of the series that structure sets refer to, and the structure sets that can't be read."""
    drawn: set[str] = set()
    failed = []
    for path in (path for one in found if one.modality == "RTSTRUCT" for path in one.files):
        try:
            drawn |= {one.series_uid for one in referenced_series(path)}
        except BadInput as error:
            failed.append((str(path), str(error)))
    return drawn, failed


def _folder(series: FoundSeries) -> Path:
    return Path(os.path.commonpath([path.parent for path in series.files]))


def _named(scan: ScanFiles, others: Sequence[ScanFiles]) -> Path:
    """What tells a scan from the others: its place, with the UID of its series where several lie in one folder."""
    if scan.series is None or sum(other.place == scan.place for other in others) == 1:
        return scan.place
    return scan.place.with_name(f"{scan.place.name}_{scan.series.series_uid}")
