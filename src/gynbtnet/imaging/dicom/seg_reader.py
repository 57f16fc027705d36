"""Structures from DICOM SEG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.objects import code_value, dicom_errors_as_bad_input, read_object, uid_value
from gynbtnet.imaging.dicom.rt.rtstruct_reader import ContourReport
from gynbtnet.imaging.geometry import SAME_GRID, Geometry
from gynbtnet.imaging.label_map import label_map
from gynbtnet.imaging.printed_names import as_one_line
from gynbtnet.imaging.roi_matching import match_rois
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import FloatArray, Mask
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class _Frame:
    """Position of a frame, as in :mod:`~gynbtnet.imaging.dicom.slice_geometry`, and the segment that it shows."""

    segment: int
    position: FloatArray
    orientation: FloatArray
    spacing: FloatArray


def list_segments(path: Path) -> tuple[str, ...]:
    """The labels of a SEG's segments, in its order.

    Raises:
        BadInput: where ``path`` is no readable DICOM SEG.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        return tuple(_segments(_read(path)).values())


def read_seg(
    path: Path, ct: CTSeries, structures: Sequence[str], names: StructureNames
) -> tuple[Segmentation, ContourReport]:
    """Read ``structures`` onto the grid of ``ct``, as label 1, 2, … in their order; frames are placed by position.

    Segments are found by their labels. Of a fractional segmentation a voxel belongs to a structure from one half on.
    Where structures overlap, the later one gets the voxels.

    Raises:
        BadInput: no SEG, another frame of reference, no wanted structure, several segments for one structure, or frames
            that don't lie on the slices of ``ct``.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        seg = _read(path)
        frame_of_reference = uid_value(seg, "FrameOfReferenceUID")
        if frame_of_reference != ct.frame_of_reference_uid:
            raise BadInput(
                f"{path} is drawn in the frame of reference {frame_of_reference or '(unnamed)'}; expected the CT's, "
                f"{ct.frame_of_reference_uid or '(unnamed)'}: give the CT that it was drawn on."
            )
        segments, frames = _segments(seg), _frames(seg)
        numbers, labels = list(segments), list(segments.values())
        filled = [any(frame.segment in (number, 0) for frame in frames) for number in numbers]
        choice = match_rois(labels, filled, structures, names, path)
        size = int(seg.Rows), int(seg.Columns)
        slices = [_slice(frame, size, ct, path) for frame in frames]  # before anything of that size is decoded
        pixels = np.asarray(seg.pixel_array).reshape(len(frames), *size)
        least = int(seg.MaximumFractionalValue) / 2 if seg.SegmentationType == "FRACTIONAL" else 1
    masks: dict[str, Mask] = {}
    for structure, i in choice.rois.items():
        by_slice = np.zeros(ct.slice_grid.shape, bool)
        for frame, slice, values in zip(frames, slices, pixels, strict=True):
            if frame.segment == numbers[i]:
                by_slice[slice] |= values >= least
            elif not frame.segment:  # a label map shows every segment in one frame
                by_slice[slice] |= values == numbers[i]
        masks[structure] = ct.on_planes(by_slice)
    segmentation, overlaps = label_map(masks, structures, ct.volume.geometry)
    rois = {structure: labels[i] for structure, i in choice.rois.items()}
    return segmentation, ContourReport(rois, choice.missing, choice.unmapped, overlaps)


def _read(path: Path) -> Dataset:
    seg = read_object(path, "a DICOM SEG")
    modality = code_value(seg, "Modality")
    if modality != "SEG":
        raise BadInput(f"{path} is of modality {modality or 'unknown'}; expected a DICOM SEG.")
    return seg


def _segments(seg: Dataset) -> dict[int, str]:
    return {int(one.SegmentNumber): as_one_line(str(one.get("SegmentLabel", "")))[:64] for one in seg.SegmentSequence}


def _frames(seg: Dataset) -> list[_Frame]:
    """Every frame's place, from its own functional groups or the shared ones; segment 0 where it shows all of them."""
    shared = (seg.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = []
    for own in seg.PerFrameFunctionalGroupsSequence:

        def group(keyword: str, own: Dataset = own) -> Dataset:
            items = own.get(keyword) or shared.get(keyword)
            return items[0] if items else Dataset()

        frames.append(
            _Frame(
                segment=int(group("SegmentIdentificationSequence").get("ReferencedSegmentNumber", 0)),
                position=np.asarray(group("PlanePositionSequence").ImagePositionPatient, float).reshape(3),
                orientation=np.asarray(group("PlaneOrientationSequence").ImageOrientationPatient, float).reshape(2, 3),
                spacing=np.asarray(group("PixelMeasuresSequence").PixelSpacing, float).reshape(2),
            )
        )
    return frames


def _slice(frame: _Frame, size: tuple[int, ...], ct: CTSeries, path: Path) -> int:
    """The slice of ``ct`` that a frame of ``size`` (rows, columns) lies on.

    Raises:
        BadInput: where it lies on none.
    """
    geometry: Geometry = ct.volume.geometry
    if size == geometry.shape[1:]:
        row, column = frame.orientation
        down, across = column * frame.spacing[0] * (size[0] - 1), row * frame.spacing[1] * (size[1] - 1)
        corners = frame.position + np.stack([0 * down, across, down, down + across])
        slice = ct.slice_at(float(geometry.to_index(frame.position)[0]))
        z, (y, x) = ct.places[slice], (size[0] - 1, size[1] - 1)
        expected = geometry.to_world([(z, 0, 0), (z, 0, x), (z, y, 0), (z, y, x)])
        if np.abs(corners - expected).max() <= SAME_GRID:
            return slice
    at = ", ".join(f"{value:.2f}" for value in frame.position)
    raise BadInput(
        f"{path} has a frame of {size[0]}×{size[1]} voxels at ({at}) mm that lies on no slice of the CT; expected a "
        "segmentation of this CT, on its own grid."
    )
