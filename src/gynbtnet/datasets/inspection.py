"""Inspection of a folder: its scans, contours and doses, and the problems that prevent their use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gynbtnet.datasets.hounsfield_units import describe_wrong_values
from gynbtnet.datasets.shared_volumes import describe_overlaps
from gynbtnet.imaging.dicom.ct_series import CTSeries, read_ct_files
from gynbtnet.imaging.dicom.damaged_files import DamagedFile
from gynbtnet.imaging.dicom.incomplete_series import POSSIBLY_SHORTER, Completeness, assess_completeness
from gynbtnet.imaging.dicom.rt.dose_of_scan import doses_of_scan
from gynbtnet.imaging.dicom.rt.referenced_images import ReferencedSeries, referenced_series
from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
from gynbtnet.imaging.dicom.rt.rtstruct_origin import is_unreviewed_prediction
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_rois import list_rois
from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
from gynbtnet.imaging.dicom.same_patient import is_of_other_patient
from gynbtnet.imaging.dicom.seg_reader import list_segments
from gynbtnet.imaging.dicom.series import FoundSeries, search_series
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.label_names import read_label_names
from gynbtnet.imaging.files.volume_files import is_image_file, read_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import is_label_map
from gynbtnet.imaging.printed_names import check_utf8, unicode_composed
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pictures.overlays import View, make_view
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.parallel import failure_reason
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import track

_AMBIGUOUS = "Another structure set is drawn on the same CT; gynbtnet ingest takes one of them with --rtstruct."
_OTHER_PATIENT = (
    "It has another PatientID than the CT that it was drawn on; gynbtnet ingest needs --patient-id-from folder for it."
)
_PREDICTED = "GynBTNet predicted these contours, and nobody has approved them."

MAX_VIEWS = 6
"""Number of scans that are shown; more would be too small to see."""


@dataclass(frozen=True)
class InspectedItem:
    """One scan, structure set, dose or file in a folder.

    Attributes:
        patient: 1, 2, … for the patients of a folder; None for image files, which name none.
        path: folder or file, relative to the inspected folder.
        kind: DICOM's modality, or "image".
        size: number of voxels and spacing, or number of ROIs.
        contents: description of the contents, and choices made while reading.
        problem: reason why it can't be used, one sentence; empty if it can.
        rois: names of its ROIs or segments.
    """

    patient: int | None
    path: str
    kind: str
    size: str = ""
    contents: str = ""
    problem: str = ""
    rois: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """Result of an inspection.

    Attributes:
        items: everything in the folder, sorted by patient and path.
        views: scans to be shown with their contours, each with its path.
    """

    items: tuple[InspectedItem, ...]
    views: tuple[tuple[str, View], ...]


def inspect_folder(folder: Path, names: StructureNames, repairs: Repairs | None = None) -> Inspection:
    """Read everything below ``folder`` as the other commands would, and describe it.

    No name, PatientID or birth date is kept: patients are numbered. An item that can't be used is listed with its
    problem.

    Args:
        folder: folder that is searched with its subfolders.
        names: table of ROI names.
        repairs: flaws of CT series to repair instead of reporting them.

    Returns:
        The items, and views of the first scans.

    Raises:
        BadInput: If there is no such folder, or it contains no scan, contour or dose.
    """
    folder = Path(folder)
    search = search_series(folder)
    completeness = assess_completeness(search)
    owners = sorted({series.patient_or_study for series in search.series})
    patients = {owner: number for number, owner in enumerate(owners, start=1)}
    items = [
        _damaged_file(
            file, patients.get(unicode_composed(file.patient_id).strip()) if file.patient_id else None, folder
        )
        for file in search.damaged
    ]
    views: list[tuple[str, View]] = []
    cts = {series.series_uid: series for series in search.series if series.modality == "CT"}
    structure_sets = _structure_sets_by_ct(search.series, cts)
    on_a_ct = {path for paths in structure_sets.values() for path in paths}
    for series in track(sorted(search.series, key=lambda series: series.files), "Inspecting"):
        patient = patients[series.patient_or_study]
        if series.modality == "CT":
            rtstructs = structure_sets.get(series.series_uid, ())
            ct_item, rtstruct_items, view = _inspect_ct(series, rtstructs, patient, folder, names, repairs)
            items += [_with_completeness(ct_item, series, completeness), *rtstruct_items]
            if view is not None and len(views) < MAX_VIEWS:
                views.append((ct_item.path, view))
        elif series.modality == "RTSTRUCT":
            others = [path for path in series.files if path not in on_a_ct]
            items += [_inspect_rtstruct_without_ct(path, patient, folder, names, search.series) for path in others]
        elif series.modality in ("RTDOSE", "SEG"):
            problem = _dose_problem(series, search.series, cts, structure_sets) if series.modality == "RTDOSE" else ""
            items += [_inspect_file(path, series.modality, patient, folder, names, problem) for path in series.files]
        else:
            description = _describe_path(series.files, folder)
            items.append(InspectedItem(patient, description, series.modality, f"images: {series.images}"))
        items += [_copied_file(path, series.modality, patient, folder) for path in series.copies]
    for path in (path for path in files_below(folder) if is_image_file(path)):
        item, volume = _inspect_image(path, folder)
        items.append(item)
        if volume is not None and len(views) < MAX_VIEWS and not is_label_map(volume):
            views.append((item.path, make_view(volume, _empty_segmentation(volume.geometry))))
    if not items:
        raise BadInput(f"{folder} contains no DICOM and no image file; expected scans, contours or doses.")
    return Inspection(tuple(sorted(items, key=lambda item: (item.patient or 0, item.path, item.kind))), tuple(views))


def _damaged_file(damaged: DamagedFile, patient: int | None, folder: Path) -> InspectedItem:
    return InspectedItem(patient, str(damaged.path.relative_to(folder)), "DICOM", problem=damaged.reason)


def _copied_file(path: Path, kind: str, patient: int, folder: Path) -> InspectedItem:
    return InspectedItem(
        patient, str(path.relative_to(folder)), kind, contents="An exact copy of another file; left out."
    )


def _name_problem(files: Iterable[Path]) -> str:
    """Return the problem of a file whose name is not UTF-8, which ingestion refuses; empty if there is none."""
    try:
        for path in files:
            check_utf8(path)
    except BadInput as error:
        return str(error)
    return ""


def _with_completeness(item: InspectedItem, series: FoundSeries, completeness: Completeness) -> InspectedItem:
    """Return the item of a CT series, with a problem or note if the series may lack a slice."""
    if series in completeness.incomplete:
        name = completeness.incomplete[series].path.name
        return replace(item, problem=_joined(item.problem, f"It may lack {name}, which can't be used."))
    if series in completeness.doubtful:
        return replace(item, contents=_joined(item.contents, POSSIBLY_SHORTER))
    return item


def _structure_sets_by_ct(series: Sequence[FoundSeries], cts: Mapping[str, FoundSeries]) -> dict[str, tuple[Path, ...]]:
    """Return the RTSTRUCTs of each CT by its SeriesInstanceUID.

    These are the RTSTRUCTs that refer to the CT or, if they refer to no CT, have its frame of reference.
    """
    structure_sets: dict[str, tuple[Path, ...]] = {}
    for path in (path for item in series if item.modality == "RTSTRUCT" for path in item.files):
        try:
            reference = read_reference(path)
        except BadInput:
            continue  # its own item reports it
        same_frame = [uid for uid, ct in cts.items() if ct.frame_of_reference_uid == reference.frame_of_reference_uid]
        uid = reference.series_uid if reference.series_uid in cts else next(iter(same_frame), None)
        if uid is not None:
            structure_sets[uid] = (*structure_sets.get(uid, ()), path)
    return structure_sets


def _inspect_ct(
    series: FoundSeries,
    rtstructs: Sequence[Path],
    patient: int,
    folder: Path,
    names: StructureNames,
    repairs: Repairs | None,
) -> tuple[InspectedItem, list[InspectedItem], View | None]:
    """Return the items of a CT series and its structure sets, and a view of both; no view if the CT can't be read."""
    path = _describe_path(series.files, folder)
    try:
        ct = read_ct_files(series.files, repairs)
    except Exception as error:
        item = InspectedItem(patient, path, "CT", f"images: {series.images}", problem=failure_reason(error))
        problem = "The CT that it was drawn on can't be read."
        return item, [_inspect_rtstruct(rtstruct, patient, folder, names, problem) for rtstruct in rtstructs], None
    wrong = describe_wrong_values(ct.volume.array)
    contents = _joined(_describe_range(ct.volume), *((f"It {wrong}",) if wrong else ()), *ct.notes)
    item = InspectedItem(patient, path, "CT", _describe_size(ct.volume.geometry), contents, _name_problem(series.files))
    contours = _empty_segmentation(ct.volume.geometry)
    referring = {
        rtstruct
        for rtstruct in rtstructs
        if series.series_uid in {referenced.series_uid for referenced in _referenced_series(rtstruct)}
    }
    predicted = {rtstruct for rtstruct in rtstructs if _is_prediction(rtstruct)}
    by_person = referring - predicted or referring
    rtstruct_items = []
    for rtstruct in rtstructs:
        problem = _AMBIGUOUS if len(by_person) > 1 and rtstruct in by_person else ""
        notes: tuple[str, ...] = ()
        try:
            contours, notes = _read_contours(rtstruct, ct, names)
            if is_of_other_patient(rtstruct, series.patient_id):
                problem = _joined(_OTHER_PATIENT, problem)
        except Exception as error:
            problem = failure_reason(error)
        rtstruct_item = _inspect_rtstruct(rtstruct, patient, folder, names, problem)
        origin = (_PREDICTED,) if rtstruct in predicted else ()
        rtstruct_items.append(replace(rtstruct_item, contents=_joined(rtstruct_item.contents, *origin, *notes)))
    return item, rtstruct_items, make_view(ct.volume, contours)


def _is_prediction(rtstruct: Path) -> bool:
    """Return True for a prediction that nobody has approved; False if the file can't be read."""
    try:
        return is_unreviewed_prediction(rtstruct)
    except BadInput:
        return False


def _referenced_series(rtstruct: Path) -> tuple[ReferencedSeries, ...]:
    """Return the series that a structure set refers to; none if it can't be read, which its own item reports."""
    try:
        return referenced_series(rtstruct)
    except BadInput:
        return ()


def _read_contours(rtstruct: Path, ct: CTSeries, names: StructureNames) -> tuple[Segmentation, tuple[str, ...]]:
    """Return the contours of all ROIs or, if that fails, of the known structures, with notes and overlaps of these.

    A couch that extends beyond the scan, or a marker smaller than a voxel, is not a problem of the organs.

    Raises:
        BadInput: If a known structure can't be read.
    """
    rois = [(names.resolve(roi.name), roi.name) for roi in list_rois(rtstruct) if roi.contours]
    all_names = tuple(dict.fromkeys(structure or name for structure, name in rois))
    if not all_names:
        return _empty_segmentation(ct.volume.geometry), ()
    try:
        contours, report = read_rtstruct(rtstruct, ct, all_names, names)
    except BadInput:
        known = tuple(dict.fromkeys(structure for structure, _ in rois if structure))
        if not known or known == all_names:
            raise
        contours, report = read_rtstruct(rtstruct, ct, known, names)
    return contours, (*report.notes, *describe_overlaps(contours, tuple(names.entries)))


def _inspect_rtstruct(path: Path, patient: int, folder: Path, names: StructureNames, problem: str) -> InspectedItem:
    relative, problem = str(path.relative_to(folder)), _joined(problem, _name_problem([path]))
    try:
        rois = list_rois(path)
    except Exception as error:
        return InspectedItem(patient, relative, "RTSTRUCT", problem=failure_reason(error))
    listed = ", ".join(f"{_describe_name(roi.name, names)} ({counted(roi.contours, 'contour')})" for roi in rois)
    return InspectedItem(
        patient, relative, "RTSTRUCT", f"ROIs: {len(rois)}", listed, problem, tuple(roi.name for roi in rois)
    )


def _inspect_rtstruct_without_ct(
    path: Path, patient: int, folder: Path, names: StructureNames, series: Sequence[FoundSeries]
) -> InspectedItem:
    """Return the item of a structure set whose CT is not in the folder, or that is on other images."""
    problem = "The CT that it was drawn on is not here; export it too."
    try:
        modalities = {item.series_uid: item.modality for item in series}
        kinds = {
            modalities.get(item.series_uid, "" if item.is_ct else item.kind) for item in referenced_series(path)
        } - {""}
    except BadInput as error:
        return InspectedItem(patient, str(path.relative_to(folder)), "RTSTRUCT", problem=str(error))
    item = _inspect_rtstruct(path, patient, folder, names, "" if kinds else problem)
    if not kinds:
        return item
    drawn_on = f"drawn on {', '.join(sorted(kinds))}"
    return replace(item, contents=f"{item.contents} ({drawn_on})" if item.contents else drawn_on)


def _dose_problem(
    dose: FoundSeries,
    series: Sequence[FoundSeries],
    cts: Mapping[str, FoundSeries],
    structure_sets: Mapping[str, Sequence[Path]],
) -> str:
    """Return why a dose can't be assigned to the CTs; empty if it can, or if it belongs to none."""
    patients = {path: item.patient_id for item in series for path in item.files}
    for uid, ct in cts.items():
        contour_patients = {patients[path] for path in structure_sets.get(uid, ())} or {""}
        try:
            for contour_patient in contour_patients:
                doses_of_scan(ct, [dose], cts.values(), contour_patient)
        except BadInput as error:
            return str(error)
    return ""


def _inspect_file(
    path: Path, modality: str, patient: int, folder: Path, names: StructureNames, problem: str
) -> InspectedItem:
    """Return the item of an RTDOSE or SEG."""
    relative = str(path.relative_to(folder))
    try:
        if modality == "SEG":
            labels = list_segments(path)
            listed = ", ".join(_describe_name(label, names) for label in labels)
            return InspectedItem(patient, relative, modality, f"segments: {len(labels)}", listed, rois=tuple(labels))
        dose = read_rtdose(path)
    except Exception as error:
        return InspectedItem(patient, relative, modality, problem=failure_reason(error))
    contents = f"{dose.dose_type.lower()} dose of {dose.summation_type.lower()}, up to {dose.grid.array.max():.2f} Gy"
    return InspectedItem(patient, relative, modality, _describe_size(dose.grid.geometry), contents, problem)


def _inspect_image(path: Path, folder: Path) -> tuple[InspectedItem, Volume | None]:
    relative = str(path.relative_to(folder))
    try:
        volume = read_volume(path)
        labels = read_label_names(path)
    except Exception as error:
        return InspectedItem(None, relative, "image", problem=failure_reason(error)), None
    listed = f" of {', '.join(labels)}" if labels else ""
    prefix = f"labels{listed}, " if is_label_map(volume) else ""
    contents = f"{prefix}{_describe_range(volume)}"
    if not prefix and describe_wrong_values(volume.array):
        contents = _joined(contents, "If this is a CT, it is not in HU.")
    item = InspectedItem(None, relative, "image", _describe_size(volume.geometry), contents, _name_problem([path]))
    return item, volume


def _joined(*sentences: str) -> str:
    *first, last = [sentence for sentence in sentences if sentence] or [""]
    return " ".join([*(sentence if sentence.endswith(".") else f"{sentence}." for sentence in first), last])


def _describe_name(name: str, names: StructureNames) -> str:
    structure = names.resolve(name)
    return f"“{name}” = {structure}" if structure else f"“{name}” = ?"


def _empty_segmentation(geometry: Geometry) -> Segmentation:
    return Segmentation(Volume(np.zeros(geometry.shape, np.uint8), geometry), ())


def _describe_size(geometry: Geometry) -> str:
    spacing = " × ".join(f"{value:.3g}" for value in geometry.spacing)
    return f"{' × '.join(map(str, geometry.shape))} of {spacing} mm"


def _describe_range(volume: Volume) -> str:
    return f"{volume.array.min():g} to {volume.array.max():g}"


def _describe_path(files: Sequence[Path], folder: Path) -> str:
    folders = {path.parent for path in files}
    if len(files) == 1:
        return str(files[0].relative_to(folder))
    if len(folders) > 1:
        return f"{len(files)} files in {len(folders)} folders"
    return str(next(iter(folders)).relative_to(folder))
