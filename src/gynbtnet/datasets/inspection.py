"""What a folder holds: scans, contours and doses, and whether they can be used."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gynbtnet.imaging.dicom.ct_series import CTSeries, read_ct_files
from gynbtnet.imaging.dicom.damaged_files import DamagedFile
from gynbtnet.imaging.dicom.incomplete_series import POSSIBLY_SHORTER, Completeness, assess_completeness
from gynbtnet.imaging.dicom.rt.referenced_images import ReferencedSeries, referenced_series
from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_rois import list_rois
from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
from gynbtnet.imaging.dicom.seg_reader import list_segments
from gynbtnet.imaging.dicom.series import FoundSeries, search_series
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.label_names import read_label_names
from gynbtnet.imaging.files.volume_files import is_image_file, read_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import is_label_map
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pictures.overlays import View, make_view
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.parallel import failure_reason
from gynbtnet.runtime.progress import track

_SEVERAL = "Another structure set is drawn on the same CT; gynbtnet ingest takes one of them with --rtstruct."

MOST_VIEWS = 6
"""Scans that are shown; more would be too small to see."""


@dataclass(frozen=True)
class InspectedItem:
    """One thing in a folder.

    Attributes:
        patient: 1, 2, … for the patients of a folder; None for image files, which name none.
        place: folder or file, relative to the folder inspected.
        kind: DICOM's modality, or "image".
        size: how large, and how fine.
        contents: what is in it, and what had to be decided to read it.
        problem: why it can't be used, a sentence; empty where it can.
    """

    patient: int | None
    place: str
    kind: str
    size: str = ""
    contents: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Inspection:
    """What was found, and by their places the scans to be shown with their contours."""

    found: tuple[InspectedItem, ...]
    views: tuple[tuple[str, View], ...]


def inspect(folder: Path, names: StructureNames, repairs: Repairs | None = None) -> Inspection:
    """Read all that is below ``folder`` as the other commands would, and say what it is.

    No name, PatientID or birth date is kept: patients are numbered. What can't be used is a row with its problem.

    Args:
        folder: searched with everything below.
        names: what ROI names mean.
        repairs: which flaws of CT series to mend instead of telling them.

    Raises:
        BadInput: If there is no such folder, or it holds no scan, contour or dose.
    """
    folder = Path(folder)
    search = search_series(folder)
    series, judged = search.series, assess_completeness(search)
    patients = {patient: number for number, patient in enumerate(sorted({one.patient_id for one in series}), start=1)}
    found = [_damaged(one, patients.get(one.patient_id) if one.patient_id else None, folder) for one in search.damaged]
    views: list[tuple[str, View]] = []
    scans = {one.series_uid: one for one in series if one.modality == "CT"}
    drawn_on = _drawn_on(series, scans)
    for one in track(sorted(series, key=lambda one: one.files), "Inspecting"):
        patient = patients[one.patient_id]
        if one.modality == "CT":
            entries, seen = _scan(one, drawn_on.get(one.series_uid, ()), patient, folder, names, repairs)
            entries[0] = _with_doubt(entries[0], one, judged)
            found += entries
            if seen is not None:
                views.append((entries[0].place, seen))
                del views[MOST_VIEWS:]
        elif one.modality == "RTSTRUCT":
            known = {path for paths in drawn_on.values() for path in paths}
            others = [path for path in one.files if path not in known]
            found += [_elsewhere(path, patient, folder, names, series) for path in others]
        elif one.modality in ("RTDOSE", "SEG"):
            found += [_single(path, one.modality, patient, folder, names) for path in one.files]
        else:
            found.append(InspectedItem(patient, _place(one.files, folder), one.modality, f"images: {one.images}"))
        found += [_copy(path, one.modality, patient, folder) for path in one.copies]
    for path in (path for path in files_below(folder) if is_image_file(path)):
        entry, volume = _image(path, folder)
        found.append(entry)
        if volume is not None and len(views) < MOST_VIEWS and not is_label_map(volume):
            views.append((entry.place, make_view(volume, _nothing(volume.geometry))))
    if not found:
        raise BadInput(f"{folder} holds no DICOM and no image file; expected scans, contours or doses.")
    return Inspection(tuple(sorted(found, key=lambda one: (one.patient or 0, one.place, one.kind))), tuple(views))


def _damaged(damaged: DamagedFile, patient: int | None, folder: Path) -> InspectedItem:
    return InspectedItem(patient, str(damaged.path.relative_to(folder)), "DICOM", problem=damaged.reason)


def _with_doubt(entry: InspectedItem, series: FoundSeries, judged: Completeness) -> InspectedItem:
    """The row of a CT series that may lack a slice."""
    if series in judged.incomplete:
        name = judged.incomplete[series].path.name
        return replace(
            entry, problem=" ".join(filter(None, (entry.problem, f"It may lack {name}, which can't be used.")))
        )
    if series in judged.doubtful:
        return replace(entry, contents=" ".join(filter(None, (entry.contents, POSSIBLY_SHORTER))))
    return entry


def _elsewhere(
    path: Path, patient: int, folder: Path, names: StructureNames, series: Sequence[FoundSeries]
) -> InspectedItem:
    """A structure set that was drawn on no CT in the folder."""
    lost = "The CT that it was drawn on is not here; export it too."
    try:
        held = {one.series_uid: one.modality for one in series}
        kinds = {held.get(one.series_uid, "" if one.is_ct else one.kind) for one in referenced_series(path)} - {""}
    except BadInput as error:
        return InspectedItem(patient, str(path.relative_to(folder)), "RTSTRUCT", problem=str(error))
    entry = _rtstruct(path, patient, folder, names, "" if kinds else lost)
    return replace(entry, contents=f"{entry.contents} (drawn on {', '.join(sorted(kinds))})") if kinds else entry


def _referred(path: Path) -> tuple[ReferencedSeries, ...]:
    """What a structure set refers to; nothing if it can't be read, which its own row says."""
    try:
        return referenced_series(path)
    except BadInput:
        return ()


def _copy(path: Path, kind: str, patient: int, folder: Path) -> InspectedItem:
    return InspectedItem(
        patient, str(path.relative_to(folder)), kind, contents="An exact copy of another file; left out."
    )


def _drawn_on(series: Sequence[FoundSeries], scans: dict[str, FoundSeries]) -> dict[str, tuple[Path, ...]]:
    """The RTSTRUCTs of each CT series, by its UID: those that refer to it, or else lie in its frame of reference."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in (path for one in series if one.modality == "RTSTRUCT" for path in one.files):
        try:
            reference = read_reference(path)
        except BadInput:
            continue  # which its own row says
        same_frame = [uid for uid, ct in scans.items() if ct.frame_of_reference_uid == reference.frame_of_reference_uid]
        uid = reference.series_uid if reference.series_uid in scans else next(iter(same_frame), None)
        if uid is not None:
            found[uid] = (*found.get(uid, ()), path)
    return found


def _scan(
    series: FoundSeries,
    rtstructs: Sequence[Path],
    patient: int,
    folder: Path,
    names: StructureNames,
    repairs: Repairs | None,
) -> tuple[list[InspectedItem], View | None]:
    """A CT series and what was drawn on it."""
    place = _place(series.files, folder)
    try:
        ct = read_ct_files(series.files, repairs)
    except Exception as error:
        entry = InspectedItem(patient, place, "CT", f"images: {series.images}", problem=failure_reason(error))
        lost = "The CT that it was drawn on can't be read."
        return [entry, *(_rtstruct(path, patient, folder, names, lost) for path in rtstructs)], None
    entries = [InspectedItem(patient, place, "CT", _size(ct.volume.geometry), " ".join((_range(ct.volume), *ct.notes)))]
    contours = _nothing(ct.volume.geometry)
    rivals = {path for path in rtstructs if series.series_uid in {one.series_uid for one in _referred(path)}}
    for path in rtstructs:
        problem = _SEVERAL if len(rivals) > 1 and path in rivals else ""
        notes: tuple[str, ...] = ()
        try:
            contours, notes = _contours(path, ct, names)
        except Exception as error:
            problem = failure_reason(error)
        entry = _rtstruct(path, patient, folder, names, problem)
        entries.append(replace(entry, contents=" ".join(filter(None, (entry.contents, *notes)))))
    return entries, make_view(ct.volume, contours)


def _contours(path: Path, ct: CTSeries, names: StructureNames) -> tuple[Segmentation, tuple[str, ...]]:
    """The contours of an RTSTRUCT and what had to be decided: of all ROIs, or if that fails, of the known structures.

    A couch that reaches beyond the scan, or a marker smaller than a voxel, is no reason against the organs.

    Raises:
        BadInput: If a known structure can't be read.
    """
    rois = [(names.resolve(roi.name), roi.name) for roi in list_rois(path) if roi.contours]
    every = tuple(dict.fromkeys(meaning or name for meaning, name in rois))
    if not every:
        return _nothing(ct.volume.geometry), ()
    try:
        contours, report = read_rtstruct(path, ct, every, names)
    except BadInput:
        known = tuple(dict.fromkeys(meaning for meaning, _ in rois if meaning))
        if not known or known == every:
            raise
        contours, report = read_rtstruct(path, ct, known, names)
    return contours, report.notes


def _rtstruct(path: Path, patient: int, folder: Path, names: StructureNames, problem: str) -> InspectedItem:
    place = str(path.relative_to(folder))
    try:
        rois = list_rois(path)
    except Exception as error:
        return InspectedItem(patient, place, "RTSTRUCT", problem=failure_reason(error))
    listed = ", ".join(f"{_meaning(roi.name, names)} ({roi.contours} contours)" for roi in rois)
    return InspectedItem(patient, place, "RTSTRUCT", f"ROIs: {len(rois)}", listed, problem)


def _single(path: Path, modality: str, patient: int, folder: Path, names: StructureNames) -> InspectedItem:
    """An RTDOSE or a SEG."""
    place = str(path.relative_to(folder))
    try:
        if modality == "SEG":
            labels = list_segments(path)
            listed = ", ".join(_meaning(label, names) for label in labels)
            return InspectedItem(patient, place, modality, f"segments: {len(labels)}", listed)
        dose = read_rtdose(path)
    except Exception as error:
        return InspectedItem(patient, place, modality, problem=failure_reason(error))
    contents = f"{dose.dose_type.lower()} dose of {dose.summation_type.lower()}, up to {dose.grid.array.max():.2f} Gy"
    return InspectedItem(patient, place, modality, _size(dose.grid.geometry), contents)


def _image(path: Path, folder: Path) -> tuple[InspectedItem, Volume | None]:
    place = str(path.relative_to(folder))
    try:
        volume = read_volume(path)
        labels = read_label_names(path)
    except Exception as error:
        return InspectedItem(None, place, "image", problem=failure_reason(error)), None
    named = f" of {', '.join(labels)}" if labels else ""
    contents = f"labels{named}, {_range(volume)}" if is_label_map(volume) else _range(volume)
    return InspectedItem(None, place, "image", _size(volume.geometry), contents), volume


def _meaning(name: str, names: StructureNames) -> str:
    structure = names.resolve(name)
    return f"“{name}” = {structure}" if structure else f"“{name}” = ?"


def _nothing(geometry: Geometry) -> Segmentation:
    return Segmentation(Volume(np.zeros(geometry.shape, np.uint8), geometry), ())


def _size(geometry: Geometry) -> str:
    spacing = " × ".join(f"{value:.3g}" for value in geometry.spacing)
    return f"{' × '.join(map(str, geometry.shape))} of {spacing} mm"


def _range(volume: Volume) -> str:
    return f"{volume.array.min():g} to {volume.array.max():g}"


def _place(files: Sequence[Path], folder: Path) -> str:
    places = {path.parent for path in files}
    if len(files) == 1:
        return str(files[0].relative_to(folder))
    if len(places) > 1:
        return f"{len(files)} files in {len(places)} folders"
    return str(next(iter(places)).relative_to(folder))
