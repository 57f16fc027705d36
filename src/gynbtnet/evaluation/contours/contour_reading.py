"""Reading of contours in any form onto the grid of their case."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.datasets.adapters.dataset_json import DatasetJson
from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.contours.contour_files import ContourFiles
from gynbtnet.evaluation.metrics.evaluation import read_prediction_folder
from gynbtnet.imaging.dicom.ct_series import CTSeries, CTSlice, read_ct_series
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_rois import list_rois
from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.files.binary_mask import as_mask
from gynbtnet.imaging.files.volume_files import is_image_file, read_volume, without_suffix
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class ReadContours:
    """Contours of one case on its grid.

    Attributes:
        segmentation: the structures; those that are missing are empty.
        missing: structures that the files don't have at all, so that it is unknown if the reader looked for them. A
            structure with an empty mask or a ROI without contours is not missing.
        notes: notes of the reading, one sentence each.
    """

    segmentation: Segmentation
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_contour_files(
    files: ContourFiles, case: Case, structures: Sequence[str], names: StructureNames
) -> ReadContours:
    """Read the contours of a case.

    Args:
        files: contours that belong to the case.
        case: the case.
        structures: structures to read, in label order.
        names: meaning of the names of ROIs, labels and mask files.

    Returns:
        The structures on the grid of the case.

    Raises:
        BadInput: If a file can't be read or is on another grid, two names mean one structure, or none of the structures
            is in the files.
    """
    if files.form == "prediction":
        contours = ReadContours(read_prediction_folder(files.path, structures).relabelled(structures))
    elif files.form == "rtstruct":
        contours = _read_rtstruct(files.path, case, structures, names)
    else:
        masks = _read_labels if files.form == "labels" else _read_masks
        contours = _painted(masks(files.path, structures, names), files.path, structures)
    grid = contours.segmentation.labels.geometry
    if not case.geometry.is_same(grid):
        raise BadInput(
            f"{files.path} and the scan {case.id} have different grids, {case.geometry.difference(grid)}; expected "
            "contours on the scan's own grid: export them again, or as an RTSTRUCT."
        )
    return contours


def _painted(masks: dict[str, Volume], path: Path, structures: Sequence[str]) -> ReadContours:
    """Return masks as contours."""
    if not masks:
        raise BadInput(
            f"{path} has none of the structures {', '.join(structures)}; name its labels or files after them, or map "
            "the names with --aliases."
        )
    (first, reference), *others = masks.items()
    for name, volume in others:
        if not reference.geometry.is_same(volume.geometry):
            raise BadInput(
                f"The masks of {name} and {first} in {path} have different grids, "
                f"{reference.geometry.difference(volume.geometry)}; expected masks of one scan."
            )
    arrays: dict[str, Mask] = {name: volume.array for name, volume in masks.items()}
    segmentation, _ = paint_label_map(arrays, structures, reference.geometry)
    return ReadContours(segmentation, tuple(name for name in structures if name not in masks))


def _read_labels(path: Path, structures: Sequence[str], names: StructureNames) -> dict[str, Volume]:
    """Return the masks in a label map whose labels a ``dataset.json`` in the same folder names."""
    if not (path.parent / "dataset.json").is_file():
        raise BadInput(
            f"There is no dataset.json next to {path}, so that the meaning of its labels is unknown; copy that of the "
            "dataset into the folder."
        )
    labels = as_whole_labels(read_volume(path), path)
    named = DatasetJson.load(path.parent).labels
    nameless = set(np.unique(labels.array).tolist()).difference([0], *(_numbers(label) for label in named.values()))
    if nameless:
        raise BadInput(
            f"{path} has the label {min(nameless)}, which the dataset.json next to it doesn't name; correct one of "
            "them."
        )
    found = _by_structure(named, structures, names, path.parent / "dataset.json")
    return {
        structure: Volume(np.isin(labels.array, _numbers(named[name])), labels.geometry)
        for structure, name in found.items()
    }


def _numbers(label: int | tuple[int, ...]) -> tuple[int, ...]:
    return label if isinstance(label, tuple) else (label,)


def _read_masks(folder: Path, structures: Sequence[str], names: StructureNames) -> dict[str, Volume]:
    """Return the masks in a folder with one image file per structure."""
    files = {without_suffix(path.name): path for path in sorted(folder.iterdir()) if is_image_file(path)}
    found = _by_structure(files, structures, names, folder)
    volumes = {structure: read_volume(files[name]) for structure, name in found.items()}
    return {
        structure: Volume(as_mask(volume, files[found[structure]]), volume.geometry)
        for structure, volume in volumes.items()
    }


def _by_structure(given: Iterable[str], structures: Sequence[str], names: StructureNames, path: Path) -> dict[str, str]:
    """Return the name of each structure among those in a file."""
    found: dict[str, str] = {}
    for name in given:
        structure = names.resolve(name, structures)
        if structure not in structures or structure is None:
            continue
        if structure in found:
            raise BadInput(
                f"{path} has “{found[structure]}” and “{name}” for {structure}; expected one: rename or remove the "
                "other."
            )
        found[structure] = name
    return found


def _read_rtstruct(path: Path, case: Case, structures: Sequence[str], names: StructureNames) -> ReadContours:
    segmentation, report = read_rtstruct(path, _ct_of(case, path), structures, names)
    listed = {names.resolve(roi.name, structures) for roi in list_rois(path)}
    missing = tuple(structure for structure in report.missing if structure not in listed)
    return ReadContours(segmentation, missing, report.notes)


def _ct_of(case: Case, rtstruct: Path) -> CTSeries:
    """Return the CT of a case, from its DICOM files if they exist; otherwise its grid, in the frame of the RTSTRUCT."""
    source = case.source
    if source.series_uid and source.ct_folder and source.ct_folder.is_dir():
        repairs = Repairs(missing_slices=True, unequal_spacing=True, gantry_tilt=True)
        return read_ct_series(source.ct_folder, source.series_uid, repairs)
    frame = read_reference(rtstruct).frame_of_reference_uid
    slices = tuple(CTSlice("", "", case.image, float(z)) for z in range(case.geometry.shape[0]))
    empty = Volume(np.zeros(case.geometry.shape, np.int16), case.geometry)
    return CTSeries(empty, "", "", frame, "", slices)
