"""The scans below what a user names, each with the name that its prediction gets."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.scan_folders import image_scans
from gynbtnet.errors import BadInput
from gynbtnet.imaging.ct_series import drawn_on
from gynbtnet.imaging.dicom_series import FoundSeries, find_series
from gynbtnet.imaging.series_choice import choose_ct
from gynbtnet.imaging.volume_files import SUFFIXES
from gynbtnet.inference.prediction_names import prediction_names
from gynbtnet.inference.scan_input import ScanFiles, scan_at


@dataclass(frozen=True)
class FoundScans:
    """What was found.

    Attributes:
        scans: by the names of their predictions, in the order of the inputs.
        failed: place and reason of what is there and can't be read.
    """

    scans: Mapping[str, ScanFiles]
    failed: tuple[tuple[str, str], ...]


def find_scans(
    inputs: Sequence[Path], channels: Sequence[str], *, given: Sequence[Path] = (), series_uid: str | None = None
) -> FoundScans:
    """Every scan below ``inputs``: an image file, a folder of DICOM series of any patients, one of image files, mixed.

    Of the series of one patient in one study and frame of reference, which show the same, one is taken: the one that a
    structure set refers to, else the largest axial one. Image files called a label, a mask or a dose are passed over.

    Args:
        inputs: files and folders; folders are searched with everything below.
        channels: what the model reads.
        given: image files of a single scan's channels after the first.
        series_uid: the series wanted, of the one folder that is given.

    Raises:
        BadInput: where an input holds no scan that can be read, one is named twice, or ``given`` or ``series_uid`` is
            for a single scan and there are several.
    """
    if (given or series_uid) and len(inputs) > 1:
        option = "--channel" if given else "--series"
        raise BadInput(f"{option} belongs to one scan, and {len(inputs)} inputs are given; contour them one by one.")
    if given or series_uid:
        found = scan_at(inputs[0], channels, given=given, series_uid=series_uid)
        return FoundScans({next(iter(prediction_names(inputs))): found}, ())
    places: list[Path] = []
    least: list[int] = []
    scans: list[ScanFiles] = []
    failed: list[tuple[str, str]] = []
    for one in inputs:
        below, problems = _below(one, channels)
        failed += problems
        own = [one] if len(below) == 1 else [_named(scan, below) for scan in below]
        places += own
        least += [max(1, len(place.parts) - len(one.parts)) for place in own]
        scans += below
    return FoundScans(dict(zip(prediction_names(places, least), scans, strict=True)), tuple(failed))


def _below(place: Path, channels: Sequence[str]) -> tuple[list[ScanFiles], list[tuple[str, str]]]:
    if not place.is_dir():
        return [scan_at(place, channels)], []
    damaged: dict[Path, BadInput] = {}
    series = find_series(place, damaged)
    spoilt = {path.parent: error for path, error in damaged.items()}
    failed = [(str(folder), str(error)) for folder, error in spoilt.items()]
    whole = [one for one in series if not any(path.parent in spoilt for path in one.files)]
    files, incomplete, _ = image_scans(place, channels)
    failed += [(problem.place, problem.reason) for problem in incomplete]
    scans = [ScanFiles(one.files[0], None, one.channels) for one in files]
    if len(channels) == 1:
        taken, unusable = _dicom_scans(whole, place)
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


def _dicom_scans(found: Sequence[FoundSeries], place: Path) -> tuple[list[ScanFiles], list[tuple[str, str]]]:
    alike: dict[tuple[str, ...], list[FoundSeries]] = {}
    for one in found:
        if one.modality == "CT":
            frame = one.frame_of_reference_uid or str(_folder(one))  # where an anonymiser emptied it
            alike.setdefault((one.patient_id, one.study_uid, frame), []).append(one)
    drawn = drawn_on(found) if any(len(group) > 1 for group in alike.values()) else set()
    scans, failed = [], []
    for group in alike.values():
        referred = drawn.intersection(one.series_uid for one in group)
        try:
            chosen, note = choose_ct(group, str(place), referred_uid=referred.pop() if len(referred) == 1 else None)
        except BadInput as error:
            failed.append((str(_folder(group[0])), str(error)))
        else:
            scans.append(ScanFiles(_folder(chosen), chosen, note=note))
    return scans, failed


def _folder(series: FoundSeries) -> Path:
    return Path(os.path.commonpath([path.parent for path in series.files]))


def _named(scan: ScanFiles, others: Sequence[ScanFiles]) -> Path:
    """What tells a scan from the others: its place, with the UID of its series where several lie in one folder."""
    if scan.series is None or sum(other.place == scan.place for other in others) == 1:
        return scan.place
    return scan.place.with_name(f"{scan.place.name}_{scan.series.series_uid}")
