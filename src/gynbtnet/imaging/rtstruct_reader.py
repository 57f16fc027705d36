"""Structures from DICOM RTSTRUCT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset

from gynbtnet.errors import BadInput
from gynbtnet.imaging.contours import Contour, Floats, mask_from_contours
from gynbtnet.imaging.ct_series import CTSeries
from gynbtnet.imaging.dicom_objects import lenient, read_object
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume

OFF_SLICE = 0.25
"""Slices by which a contour may lie beside the slice nearest to it."""

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


@dataclass(frozen=True)
class Overlap:
    """Voxels that two structures claimed and the ``later`` one got."""

    earlier: str
    later: str
    volume_cm3: float


@dataclass(frozen=True)
class RTStructReport:
    """What reading an RTSTRUCT found.

    Attributes:
        rois: name of the ROI that each structure was read from.
        missing: wanted structures without a ROI that has contours.
        unmapped: names of ROIs that no structure answers to.
        overlaps: where the label map had to decide.
    """

    rois: Mapping[str, str]
    missing: tuple[str, ...]
    unmapped: tuple[str, ...]
    overlaps: tuple[Overlap, ...]


@dataclass(frozen=True)
class RTStructReference:
    """What an RTSTRUCT says it was drawn on; empty where it doesn't say."""

    patient_id: str
    study_uid: str
    frame_of_reference_uid: str
    series_uid: str


@dataclass(frozen=True)
class _Roi:
    """One region of interest: its contours as DICOM has them."""

    name: str
    frame_of_reference_uid: str
    contours: tuple[Dataset, ...]


def read_reference(path: Path) -> RTStructReference:
    """Which patient, frame of reference and CT series an RTSTRUCT refers to.

    Raises:
        BadInput: where ``path`` is no readable RTSTRUCT.
    """
    with lenient():
        rtstruct = _read(Path(path))
        frame = _first(rtstruct, "ReferencedFrameOfReferenceSequence")
        study = _first(frame, "RTReferencedStudySequence")
        series = _first(study, "RTReferencedSeriesSequence")
        return RTStructReference(
            patient_id=str(rtstruct.get("PatientID", "")),
            study_uid=str(rtstruct.get("StudyInstanceUID", "")),
            frame_of_reference_uid=str(frame.get("FrameOfReferenceUID", "")),
            series_uid=str(series.get("SeriesInstanceUID", "")),
        )


def read_rtstruct(
    path: Path, ct: CTSeries, structures: Sequence[str], names: StructureNames
) -> tuple[Segmentation, RTStructReport]:
    """Read ``structures`` onto the grid of ``ct``, as label 1, 2, … in their order.

    Contours are matched to slices by position, never by UID. Where structures overlap, the later one in ``structures``
    gets the voxels.

    Raises:
        BadInput: another frame of reference, no wanted structure, two ROIs for one structure, a contour that is open,
            too short, not finite, or on no slice.
    """
    path = Path(path)
    with lenient():
        rois = _rois(_read(path))
        chosen: dict[str, _Roi] = {}
        for roi in rois:
            structure = names.resolve(roi.name, structures)
            if structure is None or structure not in structures or not roi.contours:
                continue
            if structure in chosen:
                raise BadInput(
                    f"{path} has two ROIs for {structure}: “{chosen[structure].name}” and “{roi.name}”; expected one: "
                    "rename one of them, or give the right one alone in an alias file."
                )
            chosen[structure] = roi
        unmapped = tuple(roi.name for roi in rois if names.resolve(roi.name, structures) not in structures)
        if not chosen:
            listed = ", ".join(f"“{roi.name}”" for roi in rois) or "none"
            raise BadInput(
                f"{path} has contours of none of the wanted structures ({', '.join(structures)}); its ROIs are: "
                f"{listed}; map their names with an alias file."
            )
        masks = {s: _mask(chosen[s], ct, path) for s in structures if s in chosen}
    labels = np.zeros(ct.volume.geometry.shape, np.uint8 if len(structures) < 256 else np.uint16)
    overlaps = []
    for structure, mask in masks.items():
        for label, count in enumerate(np.bincount(labels[mask]).tolist()):
            if label and count:
                volume = count * ct.volume.geometry.voxel_volume / 1000
                overlaps.append(Overlap(structures[label - 1], structure, volume))
        labels[mask] = structures.index(structure) + 1
    report = RTStructReport(
        rois={structure: chosen[structure].name for structure in masks},
        missing=tuple(structure for structure in structures if structure not in masks),
        unmapped=unmapped,
        overlaps=tuple(overlaps),
    )
    return Segmentation(Volume(labels, ct.volume.geometry), tuple(structures)), report


def _read(path: Path) -> FileDataset:
    rtstruct = read_object(path, "an RTSTRUCT")
    if rtstruct.get("Modality") != "RTSTRUCT":
        raise BadInput(f"{path} is of modality {rtstruct.get('Modality') or 'unknown'}; expected an RTSTRUCT.")
    if "RTROIObservationsSequence" not in rtstruct:
        raise BadInput(
            f"{path} has no RTROIObservationsSequence, which every RTSTRUCT has behind its contours; "
            "it was cut short: export it again."
        )
    return rtstruct


def _first(dataset: Dataset, keyword: str) -> Dataset:
    items = dataset.get(keyword)
    return items[0] if items else Dataset()


def _rois(rtstruct: Dataset) -> list[_Roi]:
    contours = {
        str(item.get("ReferencedROINumber")): tuple(item.get("ContourSequence") or ())
        for item in rtstruct.get("ROIContourSequence") or ()
    }
    return [
        _Roi(
            name=str(roi.get("ROIName", "")),
            frame_of_reference_uid=str(roi.get("ReferencedFrameOfReferenceUID", "")),
            contours=contours.get(str(roi.get("ROINumber")), ()),
        )
        for roi in rtstruct.get("StructureSetROISequence") or ()
    ]


def _mask(roi: _Roi, ct: CTSeries, path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if roi.frame_of_reference_uid != ct.frame_of_reference_uid:
        raise BadInput(
            f"“{roi.name}” in {path} is drawn in the frame of reference {roi.frame_of_reference_uid or '(unnamed)'}; "
            f"expected the CT's, {ct.frame_of_reference_uid}: give the CT that it was drawn on."
        )
    geometry = ct.volume.geometry
    contours = [
        _on_slice(contour, geometry, f"Contour {number} of “{roi.name}” in {path}")
        for number, contour in enumerate(roi.contours, start=1)
    ]
    return mask_from_contours(contours, geometry)


def _on_slice(contour: Dataset, geometry: Geometry, where: str) -> Contour:
    """The contour with the slice that it lies on; ``where`` starts the sentence of an error."""
    kind = contour.get("ContourGeometricType")
    if kind not in _CLOSED:
        raise BadInput(f"{where} is of type {kind or 'unknown'}; expected CLOSED_PLANAR: close or delete it.")
    points = _points(contour, where)
    z = geometry.to_index(points)[:, 0]
    at = f"at ({', '.join(f'{value:.2f}' for value in points[0])}) mm"
    if np.ptp(z) > 2 * OFF_SLICE:
        raise BadInput(f"{where}, {at}, is not parallel to the CT's slices; expected contours drawn on this CT.")
    middle = float(z.min() + z.max()) / 2
    nearest = round(middle)
    if not 0 <= nearest < geometry.shape[0]:
        raise BadInput(f"{where}, {at}, lies on no slice of the CT, but beyond its ends; give the whole CT series.")
    if abs(middle - nearest) > OFF_SLICE:
        off = abs(middle - nearest) * geometry.spacing[0]
        raise BadInput(f"{where}, {at}, lies {off:.2f} mm from the nearest slice; expected contours drawn on this CT.")
    return Contour(points, nearest)


def _points(contour: Dataset, where: str) -> Floats:
    """Points (n, 3) in mm. The text is parsed here: pydicom makes an object of every number, at 20 times the cost."""
    element = contour.get_item("ContourData")
    text = element.value if element is not None else None
    try:
        values = [float(value) for value in text.split(b"\\")] if isinstance(text, bytes) and text.strip() else []
    except ValueError:
        values = [np.nan]
    if not np.isfinite(values).all():
        raise BadInput(f"{where} holds a value that is no finite number; export the RTSTRUCT again.")
    if len(values) % 3 or len(values) < 9:
        raise BadInput(
            f"{where} holds {len(values)} coordinates; expected three a point and at least three points: delete it."
        )
    return np.asarray(values).reshape(-1, 3)
