"""Structures from DICOM RTSTRUCT.

A contour belongs to the slice nearest to its plane, by position and never by UID. Where planes at several heights are
nearest to one slice, because contours were drawn on a finer scan, the nearest of them counts and a note tells of the
others. Slices between contours stay empty; a note tells of these too. A contour more than half a slice beyond the ends
of the scan, or more than a voxel beside it, was drawn on another scan, and is an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from gynbtnet.errors import BadInput
from gynbtnet.imaging.contours import Contour, Floats, Mask, mask_from_contours
from gynbtnet.imaging.ct_series import CTSeries
from gynbtnet.imaging.dicom_objects import code, reading, uid
from gynbtnet.imaging.label_map import Overlap, label_map
from gynbtnet.imaging.rtstruct_reference import RTStructReference, open_rtstruct, reference_of
from gynbtnet.imaging.structure_choice import choose_structures
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation

LARGEST_COUNT = 1_000_000
"""Points in a contour, and contours in a ROI; more is damage."""

_LONGEST_NAME = 64  # characters of a ROIName, value representation LO
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_FLAT = 0.5  # slices over which the points of one contour may spread
_SAME_PLANE = 0.05  # slices between contours that were drawn on one plane
_BESIDE = 1.0  # voxels that a contour may reach beyond the outer faces of the scan


@dataclass(frozen=True)
class ContourReport:
    """What reading contours found.

    Attributes:
        rois: name of the ROI that each structure was read from.
        missing: wanted structures without a ROI that has contours.
        unmapped: names of ROIs that no structure answers to.
        overlaps: where the label map had to decide.
        notes: what else had to be decided, a sentence each.
    """

    rois: Mapping[str, str]
    missing: tuple[str, ...]
    unmapped: tuple[str, ...]
    overlaps: tuple[Overlap, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Roi:
    """A region of interest, as a list of ROIs shows it.

    Attributes:
        contours: how many closed ones it has.
        kind: its RT ROI Interpreted Type, empty where unknown.
    """

    name: str
    kind: str
    contours: int


@dataclass(frozen=True)
class _Drawn:
    """One contour as DICOM has it: what kind, how many points it claims, and its coordinates as text."""

    kind: str
    count: str
    text: bytes


@dataclass(frozen=True)
class _Region:
    """A ROI with its contours but points, which enclose nothing."""

    name: str
    kind: str
    frame_of_reference_uid: str
    contours: tuple[_Drawn, ...]


def list_rois(path: Path) -> tuple[Roi, ...]:
    """The ROIs of an RTSTRUCT, in its order.

    Raises:
        BadInput: where ``path`` is no readable RTSTRUCT.
    """
    path = Path(path)
    with reading(path):
        return tuple(Roi(one.name, one.kind, len(one.contours)) for one in _regions(open_rtstruct(path)))


def read_rtstruct(
    path: Path, ct: CTSeries, structures: Sequence[str], names: StructureNames
) -> tuple[Segmentation, ContourReport]:
    """Read ``structures`` onto the grid of ``ct``, as label 1, 2, … in their order.

    Where structures overlap, the later one in ``structures`` gets the voxels. On a repaired scan
    contours on an interpolated plane count; a plane without any takes the shape between its neighbours' contours.

    Raises:
        BadInput: another frame of reference, no wanted structure, several ROIs for one structure, a contour that is
            open, too short, not finite, tilted against the slices, or outside the scan.
    """
    path = Path(path)
    with reading(path):
        rtstruct = open_rtstruct(path)
        reference, regions = reference_of(rtstruct), _regions(rtstruct)
    choice = choose_structures(
        [one.name for one in regions], [bool(one.contours) for one in regions], structures, names, path
    )
    masks: dict[str, Mask] = {}
    notes: list[str] = []
    for structure, number in choice.rois.items():
        _check_frame(regions[number], reference, ct, path)
        masks[structure], found = _mask(regions[number], ct, path)
        notes += found
    segmentation, overlaps = label_map(masks, structures, ct.volume.geometry)
    rois = {structure: regions[number].name for structure, number in choice.rois.items()}
    return segmentation, ContourReport(rois, choice.missing, choice.unmapped, overlaps, tuple(notes))


def _regions(rtstruct: Dataset) -> list[_Region]:
    drawn = {
        str(item.get("ReferencedROINumber")): tuple(_drawn(contour) for contour in item.get("ContourSequence") or ())
        for item in rtstruct.get("ROIContourSequence") or ()
    }
    kinds = {
        str(item.get("ReferencedROINumber")): code(item, "RTROIInterpretedType")
        for item in rtstruct.get("RTROIObservationsSequence") or ()
    }
    return [
        _Region(
            name=str(roi.get("ROIName", ""))[:_LONGEST_NAME],
            kind=kinds.get(str(roi.get("ROINumber")), ""),
            frame_of_reference_uid=uid(roi, "ReferencedFrameOfReferenceUID"),
            contours=tuple(one for one in drawn.get(str(roi.get("ROINumber")), ()) if one.kind != "POINT"),
        )
        for roi in rtstruct.get("StructureSetROISequence") or ()
    ]


def _drawn(contour: Dataset) -> _Drawn:
    element = contour.get_item("ContourData")
    text = element.value if element is not None else None
    return _Drawn(
        kind=code(contour, "ContourGeometricType"),
        count=code(contour, "NumberOfContourPoints"),
        text=text if isinstance(text, bytes) else b"\\".join(str(value).encode() for value in text or ()),
    )


def _check_frame(region: _Region, reference: RTStructReference, ct: CTSeries, path: Path) -> None:
    """BadInput where the ROI is drawn in another frame of reference; one that names none refers to the series."""
    frame = region.frame_of_reference_uid or reference.frame_of_reference_uid
    if frame != ct.frame_of_reference_uid and not (
        not frame and ct.series_uid and reference.series_uid == ct.series_uid
    ):
        raise BadInput(
            f"“{region.name}” in {path} is drawn in the frame of reference {frame or '(unnamed)'}; expected the CT's, "
            f"{ct.frame_of_reference_uid or '(unnamed)'}: give the CT that it was drawn on."
        )


def _mask(region: _Region, ct: CTSeries, path: Path) -> tuple[Mask, list[str]]:
    """The ROI's voxels on the grid of the CT, and notes."""
    name = f"“{region.name}” in {path}"
    if len(region.contours) > LARGEST_COUNT:
        raise BadInput(
            f"{name} has {len(region.contours)} contours; at most {LARGEST_COUNT} make sense: is it damaged?"
        )
    points = [_points(one, f"Contour {i} of {name}") for i, one in enumerate(region.contours, start=1)]
    planes = _planes(points, ct, name)
    slices = np.asarray([ct.slice_at(plane) for plane in planes])
    places = ct.places
    kept = np.zeros(len(points), bool)
    for slice in np.unique(slices):
        here = np.flatnonzero(slices == slice)
        nearest = planes[here[np.abs(planes[here] - places[slice]).argmin()]]
        kept[here[np.abs(planes[here] - nearest) <= _SAME_PLANE]] = True
    notes = []
    if not kept.all():
        notes.append(
            f"“{region.name}” has {np.count_nonzero(~kept)} contours between slices that already have nearer ones; "
            "they were left out."
        )
    spanned = np.arange(slices.min(), slices.max() + 1)
    empty = np.count_nonzero(ct.scanned[spanned] & ~np.isin(spanned, slices))
    if empty:
        notes.append(f"“{region.name}” has {empty} slices without a contour between slices that have one.")
    contours = [Contour(points[i], int(slices[i])) for i in np.flatnonzero(kept)]
    return ct.on_planes(mask_from_contours(contours, ct.slice_grid)), notes


def _planes(points: Sequence[Floats], ct: CTSeries, name: str) -> Floats:
    """Where each contour lies along the volume's z, in slices.

    Raises:
        BadInput: where one is not parallel to the slices, or reaches beyond the scan.
    """
    geometry = ct.volume.geometry
    ends = np.cumsum([0, *(len(one) for one in points)])
    index = geometry.to_index(np.concatenate(points))
    low, high = np.minimum.reduceat(index, ends[:-1]), np.maximum.reduceat(index, ends[:-1])
    middle = (low[:, 0] + high[:, 0]) / 2
    last = np.asarray(geometry.shape) - 1
    tilted = high[:, 0] - low[:, 0] > _FLAT
    beyond = (middle < -0.5) | (middle > last[0] + 0.5)
    beside = ((low < -0.5 - _BESIDE) | (high > last + 0.5 + _BESIDE))[:, 1:].any(axis=1)
    for wrong, sentence in (
        (tilted, "is not parallel to the CT's slices; expected contours drawn on this CT"),
        (beyond, "lies beyond the first or last slice of the CT; give the whole series that it was drawn on"),
        (beside, "has points outside the CT's images; expected contours drawn on this CT"),
    ):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            at = ", ".join(f"{value:.2f}" for value in points[first][0])
            place = f"at ({at}) mm, nearest to slice {ct.slice_at(middle[first]) + 1} of {len(ct.places)}"
            raise BadInput(f"Contour {first + 1} of {name}, {place}, {sentence}.")
    return np.asarray(middle)


def _points(contour: _Drawn, where: str) -> Floats:
    """Points (n, 3) in mm. The text is parsed here: pydicom makes an object of every number, at 20 times the cost."""
    values = _numbers(contour.text)
    at = f", at ({', '.join(f'{value:.2f}' for value in values[:3])}) mm," if len(values) >= 3 else ""
    if contour.kind not in _CLOSED:
        raise BadInput(
            f"{where}{at} is of type {contour.kind or 'unknown'}; expected CLOSED_PLANAR: close or delete it."
        )
    if not np.isfinite(values).all():
        raise BadInput(f"{where}{at} holds a value that is no finite number; export the RTSTRUCT again.")
    if len(values) % 3 or not 9 <= len(values) <= 3 * LARGEST_COUNT:
        raise BadInput(
            f"{where}{at} holds {len(values)} coordinates; expected three a point and at least three points: delete it."
        )
    if contour.count and contour.count != str(len(values) // 3):
        raise BadInput(
            f"{where}{at} claims {contour.count} points and holds {len(values) // 3}; it is damaged: export it again."
        )
    return values.reshape(-1, 3)


def _numbers(text: bytes) -> Floats:
    """The decimal strings in ``text``; a single NaN where one is no number."""
    if not text.strip(b" \0"):
        return np.empty(0)
    try:
        return np.asarray([float(value) for value in text.rstrip(b" \0").split(b"\\")])
    except ValueError:
        return np.asarray([np.nan])
