"""Reading of structures from DICOM SEG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from gynbtnet.imaging.contour_report import ContourReport
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.objects import code_value, dicom_errors_as_bad_input, read_object, uid_value
from gynbtnet.imaging.geometry import SAME_GRID, Geometry
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.printed_names import as_one_line
from gynbtnet.imaging.roi_matching import match_rois
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import FloatArray, Mask
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class _Frame:
    """Segment and position of a frame, as in :mod:`~gynbtnet.imaging.dicom.slice_geometry`; segment 0 means all."""

    segment: int
    position: FloatArray
    orientation: FloatArray
    spacing: FloatArray


def list_segments(path: Path) -> tuple[str, ...]:
    """Return the labels of the segments of a SEG, in its order.

    Raises:
        BadInput: If ``path`` isn't a readable DICOM SEG.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        return tuple(_segments(_read(path)).values())


def read_seg(
    path: Path, ct: CTSeries, structures: Sequence[str], names: StructureNames
) -> tuple[Segmentation, ContourReport]:
    """Read structures from a DICOM SEG onto the grid of its CT.

    Segments are matched by their labels, frames by their positions. In a fractional segmentation a voxel belongs to a
    structure from one half on. If structures overlap, the later one gets the voxels.

    Args:
        path: the SEG.
        ct: the CT that was segmented.
        structures: structures to read; label 1, 2, … in this order.
        names: names of structures, to match segment labels.

    Returns:
        The segmentation on the grid of ``ct``, and a report.

    Raises:
        BadInput: If the file isn't a SEG, has another frame of reference, or has none of the structures. If several
            segments match one structure, or frames aren't on the slices of ``ct``.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        seg = _read(path)
        frame_of_reference = uid_value(seg, "FrameOfReferenceUID")
        if frame_of_reference != ct.frame_of_reference_uid:
            raise BadInput(
                f"{path} is in the frame of reference {frame_of_reference or '(unnamed)'}; expected that of the CT, "
                f"{ct.frame_of_reference_uid or '(unnamed)'}: give the CT that was segmented."
            )
        segments, frames = _segments(seg), _frames(seg)
        numbers, labels = list(segments), list(segments.values())
        has_frames = [any(frame.segment in (number, 0) for frame in frames) for number in numbers]
        choice = match_rois(labels, has_frames, structures, names, path)
        size = int(seg.Rows), int(seg.Columns)
        slices = [_slice_index(frame, size, ct, path) for frame in frames]  # checks the size before decoding
        pixels = np.asarray(seg.pixel_array).reshape(len(frames), *size)
        threshold = int(seg.MaximumFractionalValue) / 2 if seg.SegmentationType == "FRACTIONAL" else 1
    masks: dict[str, Mask] = {}
    for structure, i in choice.rois.items():
        mask = np.zeros(ct.slice_grid.shape, bool)
        for frame, slice, values in zip(frames, slices, pixels, strict=True):
            if frame.segment == numbers[i]:
                mask[slice] |= values >= threshold
            elif not frame.segment:  # a label map shows every segment in one frame
                mask[slice] |= values == numbers[i]
        masks[structure] = ct.mask_on_planes(mask)
    segmentation, overlaps = paint_label_map(masks, structures, ct.volume.geometry)
    rois = {structure: labels[i] for structure, i in choice.rois.items()}
    return segmentation, ContourReport(rois, choice.missing, choice.unmapped, overlaps, choice.passed_over)


def _read(path: Path) -> Dataset:
    seg = read_object(path, "a DICOM SEG")
    modality = code_value(seg, "Modality")
    if modality != "SEG":
        raise BadInput(f"{path} is of modality {modality or 'unknown'}; expected a DICOM SEG.")
    return seg


def _segments(seg: Dataset) -> dict[int, str]:
    return {
        int(item.SegmentNumber): as_one_line(str(item.get("SegmentLabel", "")))[:64] for item in seg.SegmentSequence
    }


def _frames(seg: Dataset) -> list[_Frame]:
    """Return the frames, from their own functional groups or the shared ones."""
    shared = (seg.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = []
    for groups in seg.PerFrameFunctionalGroupsSequence:

        def group(keyword: str, groups: Dataset = groups) -> Dataset:
            items = groups.get(keyword) or shared.get(keyword)
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


def _slice_index(frame: _Frame, size: tuple[int, ...], ct: CTSeries, path: Path) -> int:
    """Return the index of the slice position of ``ct`` for a frame of ``size`` (rows, columns).

    Raises:
        BadInput: If the frame isn't on a slice.
    """
    geometry: Geometry = ct.volume.geometry
    if size == geometry.shape[1:]:
        row, column = frame.orientation
        down, across = column * frame.spacing[0] * (size[0] - 1), row * frame.spacing[1] * (size[1] - 1)
        corners = frame.position + np.stack([0 * down, across, down, down + across])
        slice = ct.nearest_slice(float(geometry.to_index(frame.position)[0]))
        z, (y, x) = ct.slice_positions[slice], (size[0] - 1, size[1] - 1)
        expected = geometry.to_world([(z, 0, 0), (z, 0, x), (z, y, 0), (z, y, x)])
        if np.abs(corners - expected).max() <= SAME_GRID:
            return slice
    at = ", ".join(f"{value:.2f}" for value in frame.position)
    raise BadInput(
        f"{path} has a frame of {size[0]}×{size[1]} voxels at ({at}) mm that isn't on a slice of the CT; expected a "
        "segmentation of this CT, on its grid."
    )
